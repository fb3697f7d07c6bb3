// Requests to the service.

/**
 * @typedef {Object} Answer
 * @property {number} status    0 if there was none
 * @property {boolean} ok
 * @property {Headers} headers
 * @property {string} text      the body, as it came
 * @property {any} json         the body, or null if it is no JSON
 * @property {number} tookMs
 */

const LIMIT_MS = 15_000;

/**
 * Sends a request. It never throws: without an answer, it makes one with the
 * status 0 and a problem document that says so.
 * @param {string} path
 * @param {{method?: string, body?: string, key?: string}} [options] key is an Idempotency-Key
 * @returns {Promise<Answer>}
 */
async function call(path, { method = "POST", body, key } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key !== undefined) headers["Idempotency-Key"] = key;
  const start = performance.now();
  try {
    const response = await fetch(path, { method, body, headers, signal: AbortSignal.timeout(LIMIT_MS) });
    const text = await response.text();
    return { status: response.status, ok: response.ok, headers: response.headers, text, json: parse(text), tookMs: performance.now() - start };
  } catch (error) {
    const detail = error.name === "TimeoutError" ? "It did not answer in time." : "It cannot be reached.";
    const json = { title: "The service is away", detail };
    return { status: 0, ok: false, headers: new Headers(), text: "", json, tookMs: performance.now() - start };
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A key that no other request has. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `console-${Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")}`;
}

export const issue = (draft, key = newKey()) => call("/v1/invoices", { body: JSON.stringify(draft), key });
export const pay = (id) => call(`/v1/invoices/${id}/pay`, { key: newKey() });
export const cancel = (id) => call(`/v1/invoices/${id}/cancel`, { key: newKey() });
export const pauseRelay = () => call("/console/relay/pause");
export const resumeRelay = () => call("/console/relay/resume");
export const publishPoison = (kind) => call(`/console/poison?kind=${kind}`);
export const replayLetter = (sequence) => call(`/console/letters/${sequence}/replay`);
