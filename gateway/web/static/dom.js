// Text and nodes in, nodes out. Text becomes text nodes only: nothing on this page makes HTML of text.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. Properties: `class`, `on` (an object of listeners), `hidden` and the like, else attributes. */
export function el(tag, properties = {}, ...children) {
  return dress(document.createElement(tag), properties, children);
}

/** The same for a drawing. */
export function svg(tag, properties = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), properties, children);
}

function dress(node, { class: names, on = {}, ...rest }, children) {
  if (names) node.setAttribute("class", names);
  for (const [event, listener] of Object.entries(on)) node.addEventListener(event, listener);
  for (const [name, value] of Object.entries(rest)) setAttribute(node, name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Set an attribute if it is another one now; true and false set and remove it, as null does. */
export function setAttribute(node, name, value) {
  if (value === false || value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Show this text; the node is touched only if it shows another one. */
export function setText(node, text) {
  const shown = node.firstChild;
  if (shown === null) node.append(text);
  else if (shown.data !== text) shown.data = text;
}

/** Show or hide; a node that is so already is left alone. */
export function setShown(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

/**
 * Make the children of a parent follow a list: `keyOf` tells items apart, `make(item)` builds a row {node, update},
 * `row.update(item)` brings it up to date. Rows that stay are neither rebuilt nor moved. Returns the rows by key.
 */
export function follow(parent, rows, items, { keyOf, make }) {
  const next = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = rows.get(key) ?? make(item);
    row.update(item);
    if (row.node === place) place = place.nextElementSibling;
    else parent.insertBefore(row.node, place);
    next.set(key, row);
  }
  for (const [key, row] of rows) if (!next.has(key)) row.node.remove();
  return next;
}
