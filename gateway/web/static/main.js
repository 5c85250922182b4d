// The address in, the view it names out; the frame around it: sign-in, links, theme, and whether the gateway answers.

import { showDead } from "./letters.js";
import { showDevice } from "./device.js";
import { showDevices } from "./devices.js";
import { setAttribute, setShown, setText } from "./dom.js";
import { Fleet } from "./fleet.js";
import { askForKey } from "./login.js";
import { showOverview } from "./overview.js";
import { signOut } from "./session.js";
import { startTheme } from "./theme.js";

const VIEWS = [
  [/^\/$/, "#/", "Overview", showOverview],
  [/^\/devices$/, "#/devices", "Devices", showDevices],
  [/^\/devices\/([^/]+)$/, "#/devices", "Device", showDevice],
  [/^\/dead-letters$/, "#/dead-letters", "Dead letters", showDead],
];

const FRAME = ["top", "foot"]; // what is there only while somebody is signed in

const content = document.getElementById("content");
let visit = new AbortController();
let fleet = null;

/** Show the view that the address names, in place of the one before. */
function show() {
  visit.abort();
  visit = new AbortController();
  const path = readable(location.hash.slice(1)) || "/";
  const found = VIEWS.map(([pattern, tab, title, view]) => ({ match: pattern.exec(path), tab, title, view })).find(
    (one) => one.match,
  );
  if (!found) return location.replace("#/");
  for (const link of document.querySelectorAll(".tabs a"))
    setAttribute(link, "aria-current", link.getAttribute("href") === found.tab ? "page" : null);
  const parameters = found.match.slice(1);
  document.title = `${parameters[0] ?? found.title} · Device gateway`;
  content.replaceChildren();
  scrollTo(0, 0);
  return found.view(content, { signal: visit.signal, fleet, parameters });
}

/** Decode what follows the #; nothing where it cannot be. */
function readable(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function enter(first, role) {
  fleet = new Fleet(first, role, link);
  for (const id of FRAME) setShown(document.getElementById(id), true);
  addEventListener("hashchange", arrive, { signal: fleet.signal });
  show();
  content.focus({ preventScroll: true });
}

/** A new view is where reading goes on, also for those who hear the page. */
function arrive() {
  show();
  content.focus({ preventScroll: true });
}

function leave(problem = null) {
  signOut();
  visit.abort();
  fleet?.stop();
  for (const id of [...FRAME, "toast"]) setShown(document.getElementById(id), false);
  document.title = "Device gateway";
  askForKey(content, { onEnter: enter, onSignedOut: leave, problem });
}

/** Say whether the gateway answers: a word at the top, and a sentence while it does not. */
function link(up, sentence) {
  setAttribute(document.getElementById("link"), "data-up", String(up));
  setText(document.getElementById("link-words"), up ? "Live" : "Reconnecting…");
  const toast = document.getElementById("toast");
  setText(toast, up ? "" : sentence);
  setShown(toast, !up);
}

document.getElementById("leave").addEventListener("click", () => leave());
startTheme(document.getElementById("theme"));
leave();
