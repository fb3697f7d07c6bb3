// The dead letter queue.

import * as api from "./api.js";
import { copyable, el, hide, keyedList, setText, whileBusy } from "./dom.js";
import { clock } from "./format.js";
import { toast, toastProblem } from "./toast.js";

/** @param {HTMLElement} root */
export function letters(root) {
  const list = root.querySelector("#letters");
  const empty = root.querySelector("#letters-empty");
  const count = root.querySelector("#letters-count");
  const rows = keyedList(list, (l) => String(l.sequence), row);
  return {
    update(state) {
      const waiting = state.deadLetters.filter((l) => !l.replayed).length;
      rows(state.deadLetters.map((l) => ({ ...l, mode: state.mode })));
      empty.hidden = state.deadLetters.length > 0;
      setText(empty, "Nothing here: every message could be handled.");
      setText(count, state.deadLetters.length ? `${waiting} waiting` : "");
    },
  };
}

function row(letter) {
  const replayed = el("span", { class: "chip", "data-status": "replayed" }, "replayed");
  const button = el("button", {
    type: "button", class: "button small", "aria-label": `Replay dead letter ${letter.sequence}`,
    onclick: () => whileBusy(button, () => replay(letter.sequence)),
  }, "Replay");
  const node = el("li", { class: "letter" },
    el("details", {},
      el("summary", {},
        el("span", { class: "line" },
          el("span", { class: "subject" }, letter.subject),
          el("span", { class: "minor" }, `${letter.deliveries} ${letter.deliveries === 1 ? "delivery" : "deliveries"}`),
          el("time", { class: "minor", datetime: letter.failedAt }, clock(letter.failedAt))),
        el("span", { class: "reason" }, letter.error)),
      el("dl", { class: "facts" },
        ...fact("Letter", `#${letter.sequence}`),
        ...(letter.eventId ? fact("Event", copyable(letter.eventId, "event id")) : []),
        ...(letter.invoiceId ? fact("Invoice", el("a", { href: `#${letter.invoiceId}` }, letter.invoiceId)) : [])),
      el("pre", { tabindex: "0", "aria-label": "Payload" }, pretty(letter.payload))),
    el("div", { class: "letter-end" }, replayed, button));
  return {
    node,
    update(now) {
      replayed.hidden = !now.replayed;
      hide(button, now.replayed || now.mode !== "demo", node.querySelector("summary"));
    },
  };
}

const fact = (name, value) => [el("dt", {}, name), el("dd", {}, value)];

function pretty(payload) {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}

async function replay(sequence) {
  const answer = await api.replayLetter(sequence);
  if (answer.ok) toast("ok", "Replayed", "It went back to the stream. If it had its effect already, nothing happens.");
  else toastProblem(answer);
}
