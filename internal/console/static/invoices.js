// The list of the newest invoices, with what can be done to them.

import * as api from "./api.js";
import { el, hide, keyedList, setAttribute, setText, whileBusy } from "./dom.js";
import { clock, money } from "./format.js";
import { toast, toastProblem } from "./toast.js";

/**
 * @param {HTMLElement} root
 * @returns {{update: (state: object) => void, select: (id: string) => void}}
 */
export function invoices(root) {
  const list = root.querySelector("#invoices");
  const empty = root.querySelector("#invoices-empty");
  const count = root.querySelector("#invoices-count");
  let selected = "";
  let mode = "read";
  let first = true;
  const rows = keyedList(list, (i) => i.id, (i) => row(i, first));
  let shown = [];

  function show() {
    rows(shown.map((i) => ({ ...i, selected: i.id === selected, mode })));
  }

  return {
    update(state) {
      mode = state.mode;
      shown = state.invoices;
      show();
      first = false;
      empty.hidden = shown.length > 0;
      setText(empty, mode === "demo" ? "No invoices yet. Issue the first one." : "No invoices yet.");
      setText(count, shown.length ? `${shown.length} newest` : "");
    },
    select(id) {
      selected = id;
      show();
    },
  };
}

/** @param {boolean} first whether the list was empty before, so that nothing is new */
function row(invoice, first) {
  const chip = el("span", { class: "chip" });
  const amount = el("span", { class: "amount" }, money(invoice.amount, invoice.currency));
  const document = el("span", { class: "doc" });
  const link = el("a", { class: "row-link", href: `#${invoice.id}` }, invoice.invoiceNumber);
  const actions = commandButtons(invoice);
  const node = el("li", { class: first ? "row" : "row fresh" },
    el("div", { class: "line" }, link, chip, amount),
    el("div", { class: "line minor" },
      el("span", { class: "who" }, invoice.customerId), el("time", { datetime: invoice.issuedAt }, clock(invoice.issuedAt)),
      document, actions));

  return {
    node,
    update(now) {
      setText(chip, now.status);
      setAttribute(chip, "data-status", now.status);
      setAttribute(link, "aria-current", now.selected ? "true" : null);
      const made = now.receipt ?? now.creditNote;
      setText(document, made?.number ?? (now.status === "issued" ? "" : now.status === "paid" ? "receipt …" : "credit note …"));
      document.classList.toggle("pending", !made);
      hide(actions, now.mode !== "demo" || now.status !== "issued", link);
    },
  };
}

/** Pay and Cancel for an invoice. */
export function commandButtons(invoice) {
  const button = (text, name, command) => el("button", {
    type: "button", class: "button small", "aria-label": `${text} ${invoice.invoiceNumber}`, "data-command": name,
    onclick: ({ currentTarget }) => whileBusy(currentTarget, () => run(invoice, name, command)),
  }, text);
  return el("span", { class: "actions" }, button("Pay", "paid", api.pay), button("Cancel", "cancelled", api.cancel));
}

async function run(invoice, done, command) {
  const answer = await command(invoice.id);
  if (answer.ok) toast("ok", `${invoice.invoiceNumber} is ${done}`, `${answer.status} in ${answer.tookMs.toFixed(0)} ms`);
  else toastProblem(answer);
}
