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
import { TroubleBar } from "./trouble.js";

const VIEWS = [
  [/^\/$/, "#/", "Overview", showOverview],
  [/^\/devices$/, "#/devices", "Devices", showDevices],
  [/^\/devices\/([^/]+)$/, "#/devices", "Device", showDevice],
  [/^\/dead-letters$/, "#/dead-letters", "Dead letters", showDead],
];

const STATES = {
  ready: "Live",
  degraded: "Degraded",
  unready: "Not ready",
  draining: "Stopping",
  lost: "Reconnecting…",
};
const FRAME = ["top", "foot"]; // what is there only while somebody is signed in

const content = document.getElementById("content");
let visit = new AbortController();
const trouble = new TroubleBar(document.getElementById("trouble"), document.getElementById("trouble-heard"));
let fleet = null;
let viewed = "";

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
  document.body.dataset.view = found.title;
  viewed = parameters[0] ?? found.title;
  entitle();
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
  fleet.watch(warn, fleet.signal);
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
  trouble.hide();
  document.title = "Device gateway";
  askForKey(content, { onEnter: enter, onSignedOut: leave, problem });
}

/** Say above every view what is not well, or that nothing is known; and beside the name, in a word. */
function warn(view, lost) {
  if (lost === null) trouble.update(view, fleet.now());
  else trouble.lost(lost, fleet.now());
  const state = lost === null ? view.status : "lost";
  setAttribute(document.getElementById("link"), "data-state", state);
  setText(document.getElementById("link-words"), STATES[state] ?? state);
  entitle();
}

/** Name the window after the view; what is not well comes first, since a tab shows little. */
function entitle() {
  const state = document.getElementById("link").dataset.state;
  const word = fleet?.lost === null && state !== "ready" ? `${STATES[state]} · ` : "";
  document.title = `${word}${viewed} · Device gateway`;
}

/** Say in a sentence while the gateway does not answer. */
function link(up, sentence) {
  const toast = document.getElementById("toast");
  setText(toast, up ? "" : sentence);
  setShown(toast, !up);
}

document.getElementById("leave").addEventListener("click", () => leave());
startTheme(document.getElementById("theme"));
leave();
