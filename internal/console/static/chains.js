// What the events of an invoice say about its loops. Nothing here touches the
// page.

import { millis } from "./format.js";

/**
 * @typedef {Object} Step   a line of the timeline
 * @property {string} key
 * @property {"outbox"|"stream"|"delivery"|"document"|"nobody"|"next"} kind
 * @property {string} text
 * @property {string} [note]   more, in grey
 * @property {string} state    done, waiting, failed or none
 * @property {number} [from]   milliseconds since 1970
 * @property {number} [to]     absent while it lasts
 *
 * @typedef {Object} Link      an event with its steps
 * @property {object} event
 * @property {number} depth    0 for what a command recorded, 1 for what that caused …
 * @property {Step[]} steps
 *
 * @typedef {Object} Chain     all that one command has caused
 * @property {string} key
 * @property {string} title
 * @property {number} start
 * @property {number} end
 * @property {boolean} done    nothing more will follow
 * @property {Link[]} links    in causal order
 */

const COMMANDS = { issued: "Issue", paid: "Pay", cancelled: "Cancel" };
const DOCUMENTS = { receipt: "Receipt", creditNote: "Credit note" };

/** The part of the type that says what happened: billing.invoice.paid → paid. */
const happened = (event) => event.type.split(".").at(-1);

/**
 * One chain for each command, the oldest first.
 * @param {object[]} events in causal order
 * @returns {Chain[]}
 */
export function chains(events) {
  const made = new Map(); // by the id of each event in it
  const all = [];
  for (const event of events) {
    let chain = made.get(event.causationId);
    if (!chain) {
      chain = { key: event.id, title: COMMANDS[happened(event)] ?? happened(event), links: [] };
      all.push(chain);
    }
    made.set(event.id, chain);
    const cause = chain.links.find((l) => l.event.id === event.causationId);
    chain.links.push({ event, depth: cause ? cause.depth + 1 : 0, steps: steps(event) });
  }
  return all.map(measured);
}

function steps(event) {
  const recorded = millis(event.recordedAt);
  const stored = event.stream && millis(event.stream.storedAt);
  const left = stored ?? (event.publishedAt && millis(event.publishedAt));
  const list = [{
    key: "outbox", kind: "outbox", text: "Outbox row", from: recorded, to: left,
    note: event.blocked ?? (event.publishedAt ? "published" : "waiting"),
    state: event.blocked ? "failed" : left === undefined ? "waiting" : "done",
  }];
  if (event.stream) {
    list.push({ key: "stream", kind: "stream", text: `Stream #${event.stream.sequence}`, note: "stored", state: "done", from: stored, to: stored });
  }
  for (const d of event.deliveries) {
    const at = millis(d.at);
    list.push({
      key: `delivery-${d.attempt}-${d.at}`, kind: "delivery", text: `Delivery ${d.attempt}`, note: d.error ? `${d.outcome}: ${d.error}` : d.outcome,
      state: d.outcome === "handled" || d.outcome === "duplicate" ? "done" : "failed", from: at, to: at + d.tookMs,
    });
  }
  if (event.effect) {
    const at = millis(event.effect.issuedAt);
    list.push({ key: "document", kind: "document", text: event.effect.number, note: DOCUMENTS[event.effect.kind], state: "done", from: at, to: at });
  } else if (event.consumed) {
    list.push(next(event));
  } else {
    list.push({ key: "nobody", kind: "nobody", text: "Consumer", note: "nobody here subscribes to it", state: "none" });
  }
  return list;
}

/** What a consumed event that has had no effect yet waits for. */
function next(event) {
  const step = { key: "next", kind: "next", text: "Consumer" };
  switch (event.deliveries.at(-1)?.outcome) {
    case "parked": return { ...step, note: "gave it up: see the dead letters", state: "none" };
    case "retried": return { ...step, note: "tries again soon", state: "waiting" };
    default: return event.stream ? { ...step, note: "on its way", state: "waiting" } : { ...step, note: "after the stream", state: "none" };
  }
}

function measured(chain) {
  const instants = chain.links.flatMap((l) => l.steps.flatMap((s) => [s.from, s.to])).filter((t) => t !== undefined);
  const waits = chain.links.some((l) => l.steps.some((s) => s.state === "waiting"));
  const effects = chain.links.filter((l) => l.event.effect);
  const announced = effects.every((l) => chain.links.some((other) => other.event.causationId === l.event.id));
  return { ...chain, start: Math.min(...instants), end: Math.max(...instants), done: !waits && announced };
}

/**
 * The stations of a chain: command, outbox, stream, and, if the event has a
 * consumer, delivery, document and the event of that. Each has the
 * milliseconds since the one before, if known.
 * @param {Chain} chain
 */
export function stations(chain) {
  const { event } = chain.links[0];
  const next = chain.links.find((l) => l.event.causationId === event.id)?.event;
  const recorded = millis(event.recordedAt);
  const stored = event.stream && millis(event.stream.storedAt);
  const delivery = event.deliveries.at(-1);
  const handled = delivery && millis(delivery.at);
  const documented = event.effect && millis(event.effect.issuedAt);
  const announced = next?.stream && millis(next.stream.storedAt);
  const since = (now, before) => (now !== undefined && before !== undefined ? Math.max(0, now - before) : null);

  const list = [
    { name: "Command", detail: chain.title, state: "done", gap: null },
    { name: "Outbox", detail: stored ? "published" : event.blocked ? "blocked" : "waiting", state: event.blocked ? "failed" : stored ? "done" : "waiting", gap: "same tx" },
    { name: "Stream", detail: event.stream ? `#${event.stream.sequence}` : "", state: event.stream ? "done" : "none", gap: since(stored, recorded) },
  ];
  if (!event.consumed) return list;
  const failed = delivery && !["handled", "duplicate"].includes(delivery.outcome);
  list.push(
    {
      name: "Consumer", detail: delivery ? `try ${delivery.attempt}` : documented ? "elsewhere" : "",
      state: failed ? "failed" : delivery || documented ? "done" : stored ? "waiting" : "none", gap: since(handled, stored),
    },
    {
      name: DOCUMENTS[event.effect?.kind] ?? "Document", detail: event.effect?.number ?? "",
      state: documented ? "done" : "none", gap: since(documented, handled ?? stored),
    },
    { name: "Its event", detail: next?.stream ? `#${next.stream.sequence}` : "", state: announced ? "done" : documented ? "waiting" : "none", gap: since(announced, documented) },
  );
  return list;
}
