"""Scripts for the page: what its chart has painted, and whether anything flickers."""

from typing import NamedTuple

from tests.browser.tab import Tab

LINE = "(document.querySelector('.chart .line')?.getAttribute('d') ?? '')"
LABEL = "(document.querySelector('.chart')?.getAttribute('aria-label') ?? '')"


class Seen(NamedTuple):
    """What has happened in the table of values since `watch`."""

    texts: int
    """Texts that were changed."""
    nodes: int
    """Elements that came or went."""
    frames: int
    shift: float
    """Cumulative layout shift of the whole page."""


def ink(tab: Tab) -> float:
    """Return the share of the chart's area that is painted, 0 to 1."""
    return float(tab.run(_INK))


def watch(tab: Tab) -> None:
    """Begin to look."""
    tab.run(_WATCH)


def seen(tab: Tab) -> Seen:
    return Seen(**tab.run("window.seen"))


_INK = """(async () => {
  const chart = document.querySelector('.chart'), copy = chart.cloneNode(true);
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  const nodes = [...chart.querySelectorAll('*')], copies = [...copy.querySelectorAll('*')];
  nodes.forEach((node, i) => {
    const {fill, stroke} = getComputedStyle(node);
    copies[i].setAttribute('fill', fill);
    copies[i].setAttribute('stroke', stroke);
  });
  const image = new Image();
  image.src = 'data:image/svg+xml,' + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  await image.decode();
  const canvas = new OffscreenCanvas(600, 300).getContext('2d');
  canvas.drawImage(image, 0, 0, 600, 300);
  const {data} = canvas.getImageData(0, 0, 600, 300);
  return data.filter((one, i) => i % 4 === 3 && one > 0).length / (600 * 300);
})()"""
_WATCH = """(() => {
  const seen = window.seen = {texts: 0, nodes: 0, frames: 0, shift: 0};
  const count = () => { seen.frames += 1; requestAnimationFrame(count); };
  requestAnimationFrame(count);
  new MutationObserver((changes) => {
    for (const {type} of changes) seen[type === 'characterData' ? 'texts' : 'nodes'] += 1;
  }).observe(document.querySelector('.values'), {subtree: true, childList: true, characterData: true});
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) seen.shift += entry.value;
  }).observe({type: 'layout-shift'});
})()"""
