// The page in, what is wrong with it out, in words; `small` and `large` are the least contrasts of text.
function faults({ small, large }) {
  const faults = [],
    shown = (node) => node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a)];
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour
      .map((one) => one / 255)
      .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !shown(node) || node.closest("noscript, option, .heard, .skip")) continue;
    const style = getComputedStyle(node),
      below = ground(node);
    const colour = over(rgba(node instanceof SVGElement ? style.fill : style.color), below);
    const size = parseFloat(style.fontSize),
      isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    texts += 1;
    if (contrast(colour, below) < (isLarge ? large : small))
      faults.push(`contrast ${contrast(colour, below).toFixed(2)}: ${text.data}`);
  }
  if (!texts) faults.push("no text at all");
  for (const field of document.querySelectorAll("input, select, textarea")) {
    if (shown(field) && !field.labels?.length && !field.ariaLabel) faults.push(`no label: ${field.outerHTML}`);
  }
  for (const one of document.querySelectorAll("button, a[href], [role=img], summary")) {
    const name = one.getAttribute("aria-label") || one.innerText || "";
    if (shown(one) && !name.trim()) faults.push(`no name: ${one.outerHTML}`);
  }
  for (const image of document.querySelectorAll("img"))
    if (!image.hasAttribute("alt")) faults.push("an image without alt");
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter(shown).map((one) => Number(one.tagName[1]));
  if (levels.filter((one) => one === 1).length !== 1) faults.push(`not one h1: ${levels}`);
  levels.forEach((level, i) => {
    if (i && level > levels[i - 1] + 1) faults.push(`headings jump: ${levels}`);
  });
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size !== ids.length) faults.push(`an id stands twice: ${ids}`);
  for (const one of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
    for (const id of `${one.getAttribute("aria-labelledby") ?? ""} ${one.getAttribute("aria-describedby") ?? ""}`
      .trim()
      .split(/\s+/)) {
      if (!document.getElementById(id)) faults.push(`nothing has the id ${id}`);
    }
  }
  for (const node of document.querySelectorAll("body *")) if (node.tabIndex > 0) faults.push("a positive tabindex");
  if (!document.documentElement.lang || !document.title) faults.push("no language, or no title");
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) faults.push(`scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}`);
  return faults;
}
