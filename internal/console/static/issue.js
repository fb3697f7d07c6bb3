// The form that issues an invoice. What is wrong with it, the API says: its
// problem document has a JSON pointer for each field.

import * as api from "./api.js";
import { setAttribute, setText, whileBusy } from "./dom.js";
import { toMinor } from "./format.js";
import { toast, toastProblem } from "./toast.js";

/**
 * @param {HTMLFormElement} form
 * @param {(id: string) => void} select shows an invoice
 */
export function issueForm(form, select) {
  const button = form.querySelector("[type=submit]");

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    whileBusy(button, send);
  });

  async function send() {
    showErrors(form, []);
    let draft;
    try {
      draft = read(form);
    } catch (error) {
      showErrors(form, [{ pointer: "/amount", detail: error.message }]);
      return;
    }
    const answer = await api.issue(draft);
    if (answer.ok) {
      toast("ok", `${answer.json.invoiceNumber} is issued`, `${answer.status} in ${answer.tookMs.toFixed(0)} ms`);
      select(answer.json.id);
    } else if (answer.json?.errors) {
      showErrors(form, answer.json.errors);
    } else {
      toastProblem(answer);
    }
  }

  form.addEventListener("input", (event) => {
    for (const error of form.querySelectorAll(".error")) {
      if (error.dataset.pointer === `/${event.target.name}`) clear(form, error);
    }
  });
}

function read(form) {
  const { customerId, amount, currency, dueDate } = Object.fromEntries(new FormData(form));
  const draft = { customerId, amount: toMinor(amount, currency), currency };
  if (dueDate) draft.dueDate = dueDate;
  return draft;
}

function showErrors(form, errors) {
  const slots = [...form.querySelectorAll(".error")];
  slots.forEach((slot) => clear(form, slot));
  for (const { pointer, detail } of errors) {
    const slot = slots.find((s) => s.dataset.pointer === pointer) ?? slots.find((s) => s.dataset.pointer === "");
    setText(slot, slot.dataset.pointer ? detail : `${pointer} ${detail}`);
    setAttribute(field(form, slot), "aria-invalid", "true");
  }
  form.querySelector("[aria-invalid]")?.focus();
}

function clear(form, slot) {
  setText(slot, "");
  setAttribute(field(form, slot), "aria-invalid", null);
}

/** The input that an error belongs to, or the form. */
const field = (form, slot) => form.elements[slot.dataset.pointer.slice(1)] ?? form;
