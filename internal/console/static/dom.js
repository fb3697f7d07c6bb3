// Making and changing elements. Data only ever becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element. Properties whose names begin with "on" are listeners, all
 * others are attributes; null, undefined and false leave an attribute out.
 * @param {string} tag
 * @param {Object<string, any>} [properties]
 * @param {...(Node|string|null|undefined)} children
 * @returns {HTMLElement}
 */
export function el(tag, properties = {}, ...children) {
  return furnish(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), properties, children);
}

function furnish(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else setAttribute(node, name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets or removes an attribute, if that changes anything. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Sets the text of a node, if that changes anything. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Keeps the children of parent equal to a list, by key. Elements that stay are
 * not moved needlessly, so focus, selection and scroll survive.
 * @template T
 * @param {Element} parent
 * @param {(item: T) => string} key
 * @param {(item: T) => {node: Element, update: (item: T) => void}} create
 * @returns {(items: T[]) => void}
 */
export function keyedList(parent, key, create) {
  const rows = new Map();
  return (items) => {
    const wanted = new Set(items.map(key));
    for (const [k, row] of rows) {
      if (!wanted.has(k)) {
        row.node.remove();
        rows.delete(k);
      }
    }
    let next = parent.firstElementChild;
    for (const item of items) {
      const k = key(item);
      if (!rows.has(k)) rows.set(k, create(item));
      const row = rows.get(k);
      if (row.node === next) next = next.nextElementSibling;
      else parent.insertBefore(row.node, next);
      row.update(item);
    }
  };
}

/**
 * Does what a button is for, once at a time. The button keeps the focus, which
 * it would lose if it were disabled.
 */
export async function whileBusy(button, job) {
  if (button.hasAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  try {
    await job();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Hides or shows an element; the focus, if it was inside, goes to another. */
export function hide(node, hidden, heir) {
  const had = hidden && node.contains(document.activeElement);
  node.hidden = hidden;
  if (had) heir.focus();
}

/** A button that shows the end of an id and copies all of it. */
export function copyable(id, label = "") {
  const text = el("span", {}, short(id));
  const button = el("button", {
    type: "button", class: "copy", title: `Copy ${id}`, "aria-label": `Copy ${label} ${id}`,
    onclick: async () => {
      await copy(id);
      text.textContent = "copied";
      setTimeout(() => { text.textContent = short(id); }, 1200);
    },
  }, text);
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not a secure context, or not allowed: the old way
    const area = el("textarea", { class: "offscreen", readonly: "" });
    area.value = text;
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    focused?.focus();
  }
}

/** evt_…7K3FQX of an id that grows at its end, 0af76519… of any other. */
function short(id) {
  if (id.length <= 20) return id;
  const prefix = /^[a-z]+_/.exec(id);
  return prefix ? `${prefix[0]}…${id.slice(-6)}` : `${id.slice(0, 8)}…`;
}
