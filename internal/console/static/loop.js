// The selected invoice: its stations at a glance, and each chain of cause and
// effect on a scale of time.

import { chains, stations } from "./chains.js";
import { copyable, el, hide, keyedList, setAttribute, setText } from "./dom.js";
import { clock, day, duration, money, preciseClock } from "./format.js";
import { commandButtons } from "./invoices.js";

/**
 * @param {HTMLElement} root
 * @returns {{select: (id: string) => void, timeline: (t: object) => void, update: (state: object) => void}}
 */
export function loop(root) {
  const body = root.querySelector("#loop-body");
  const slot = root.querySelector("#loop-actions");
  let id = "";
  let mode = "read";
  let view = null;

  function empty(title, text) {
    view = null;
    slot.replaceChildren();
    const names = ["Command", "Outbox", "Stream", "Consumer", "Document", "Its event"];
    const line = stationLine();
    line.update(names.map((name) => ({ name, detail: "", state: "none", gap: null })));
    body.replaceChildren(el("div", { class: "nothing" }, line.node, el("h3", {}, title), el("p", {}, text)));
  }

  function select(now) {
    id = now;
    if (!id) empty("Select an invoice", "Its whole way is shown here: from the command over the outbox to what the consumer made of it.");
    else empty("Loading", "Asking the service for the timeline of this invoice.");
  }

  select("");
  return {
    select,
    update(state) {
      mode = state.mode;
      view?.mode(mode);
    },
    timeline(t) {
      if (!id) return;
      if (!t.invoice) {
        empty("There is no such invoice", id);
        return;
      }
      if (t.invoice.id !== id) return; // of the one before
      if (!view) {
        view = invoiceView(t.invoice, slot);
        body.replaceChildren(view.node);
      }
      view.update(t);
      view.mode(mode);
    },
  };
}

function invoiceView(invoice, slot) {
  const chip = el("span", { class: "chip" });
  const total = el("strong", { class: "total" });
  const totalLabel = el("span", { class: "minor" });
  const due = el("span", {}, `due ${day(invoice.dueDate)}`);
  const line = stationLine();
  const list = el("ol", { class: "chains" });
  const show = keyedList(list, (c) => c.key, chainView);
  const actions = commandButtons(invoice);
  let status = invoice.status;
  let mode = "read";
  slot.replaceChildren(actions);

  const node = el("div", {},
    el("div", { class: "summary" },
      el("div", {},
        el("p", { class: "line" }, el("strong", { class: "big" }, invoice.invoiceNumber), chip),
        el("p", { class: "line minor" }, money(invoice.amount, invoice.currency), el("span", {}, invoice.customerId), due, copyable(invoice.id, "invoice id"))),
      el("p", { class: "took" }, total, totalLabel)),
    line.node, list);

  const offer = () => { hide(actions, mode !== "demo" || status !== "issued", slot.closest("section")); };
  return {
    node,
    mode(now) {
      mode = now;
      offer();
    },
    update(t) {
      status = t.invoice.status;
      offer();
      setText(chip, status);
      setAttribute(chip, "data-status", status);
      const all = chains(t.events);
      const newest = all.at(-1);
      if (!newest) return;
      setText(total, newest.done ? duration(newest.end - newest.start) : "…");
      setText(totalLabel, newest.done ? `${newest.title.toLowerCase()}, the whole loop` : "under way");
      line.update(stations(newest));
      show(all.toReversed());
    },
  };
}

/** Command → outbox → stream → … as a line of stations. */
function stationLine() {
  const node = el("ol", { class: "stations", "aria-label": "Stations of the loop" });
  const show = keyedList(node, (s) => String(s.index), () => {
    const gap = el("span", { class: "gap" });
    const name = el("span", { class: "name" });
    const detail = el("span", { class: "detail" });
    const item = el("li", {}, gap, el("i", { class: "node" }), name, detail);
    return {
      node: item,
      update(s) {
        setAttribute(item, "data-state", s.state);
        setText(gap, typeof s.gap === "number" ? duration(s.gap) : s.gap ?? "");
        setText(name, s.name);
        setText(detail, s.detail);
      },
    };
  });
  return { node, update: (list) => show(list.map((s, index) => ({ ...s, index }))) };
}

function chainView(chain) {
  const took = el("span", { class: "chain-took" });
  const root = chain.links[0].event;
  const list = el("ol", { class: "links" });
  const show = keyedList(list, (l) => l.event.id, linkView);
  const node = el("li", { class: "chain" },
    el("div", { class: "chain-head" },
      el("h3", {}, chain.title), el("time", { class: "minor", datetime: root.recordedAt }, preciseClock(root.recordedAt)), took),
    el("dl", { class: "ids" },
      ...id("correlation", root.correlationId), ...(root.traceId ? id("trace", root.traceId) : [])),
    list);
  return {
    node,
    update(now) {
      setText(took, now.done ? duration(now.end - now.start) : "under way");
      show(now.links.map((l) => ({ ...l, start: now.start, span: Math.max(now.end - now.start, 0.001) })));
    },
  };
}

const id = (name, value) => [el("dt", {}, name), el("dd", {}, copyable(value, `${name} id`))];

function linkView(link) {
  const { event } = link;
  const list = el("ol", { class: "steps" });
  const show = keyedList(list, (s) => s.key, stepView);
  const node = el("li", { class: link.depth ? "link caused" : "link" },
    el("p", { class: "event" },
      el("strong", {}, event.type),
      el("span", { class: "minor" }, `v${event.version}`),
      copyable(event.id, "event id"),
      event.causationId ? el("span", { class: "minor cause" }, "caused by ", copyable(event.causationId, "causation id")) : null),
    list);
  return {
    node,
    update: (now) => show(now.steps.map((s) => ({ ...s, start: now.start, span: now.span }))),
  };
}

function stepView(step) {
  const text = el("span", { class: "step-text" });
  const note = el("span", { class: "step-note" });
  const at = el("span", { class: "at" });
  const bar = el("i", { class: "bar" });
  const node = el("li", { class: "step", "data-kind": step.kind }, el("i", { class: "node" }), text, note, el("span", { class: "track" }, bar), at);
  return {
    node,
    update(now) {
      setAttribute(node, "data-state", now.state);
      setText(text, now.text);
      setText(note, now.note ?? "");
      setAttribute(note, "title", now.note);
      const known = now.from !== undefined;
      const offset = known ? Math.max(0, now.from - now.start) : 0;
      const left = Math.min(100, (offset / now.span) * 100);
      const wide = now.to === undefined ? 100 - left : ((now.to - now.from) / now.span) * 100;
      bar.hidden = !known;
      bar.style.setProperty("--left", `${left.toFixed(2)}%`);
      bar.style.setProperty("--wide", `${Math.min(100 - left, Math.max(0, wide)).toFixed(2)}%`);
      setText(at, known ? `+${duration(offset)}` : "");
      setAttribute(at, "title", known ? clock(now.from) : null);
    },
  };
}
