// A question about devices in, as many as are wanted out, over as many answers as it takes.

import { ask } from "./session.js";

/** Ask page after page until there are enough. */
export async function devices(question, wanted, signal) {
  const found = [];
  let cursor = null;
  do {
    const given = new URLSearchParams(question);
    given.set("limit", String(wanted - found.length));
    if (cursor !== null) given.set("cursor", cursor);
    const page = await ask(`/v1/devices?${given}`, { signal });
    found.push(...page.devices);
    cursor = page.next_cursor;
  } while (cursor !== null && found.length < wanted);
  return { devices: found, cursor };
}
