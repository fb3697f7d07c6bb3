// Text for money, times and durations.

const decimals = new Map();

/** How many digits the minor unit of a currency has. */
function minorDigits(currency) {
  if (!decimals.has(currency)) {
    const { maximumFractionDigits } = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
    decimals.set(currency, maximumFractionDigits);
  }
  return decimals.get(currency);
}

/** 15000, "EUR" → "€150.00", without rounding. */
export function money(amount, currency) {
  const digits = minorDigits(currency);
  const text = String(amount).padStart(digits + 1, "0");
  const decimal = digits ? `${text.slice(0, -digits)}.${text.slice(-digits)}` : text;
  return new Intl.NumberFormat("en", { style: "currency", currency }).format(decimal);
}

/**
 * "150.5", "EUR" → 15050. Throws an Error that says what to change if that is
 * no whole number of minor units. Whether the amount is allowed, the API says.
 */
export function toMinor(text, currency) {
  const digits = minorDigits(currency);
  const match = /^(-?)(\d+)(?:[.,](\d+))?$/.exec(text.trim());
  if (!match) throw new Error("must be a number like 150.00");
  const [, sign, whole, fraction = ""] = match;
  if (fraction.length > digits) {
    throw new Error(digits ? `${currency} has ${digits} decimals` : `${currency} has no decimals`);
  }
  const minor = Number(sign + whole + fraction.padEnd(digits, "0"));
  if (!Number.isSafeInteger(minor)) throw new Error("is too large");
  return minor;
}

/** An RFC 3339 timestamp as milliseconds since 1970, with its microseconds. */
export function millis(timestamp) {
  const fraction = /\.(\d+)/.exec(timestamp)?.[1] ?? "";
  const beyond = fraction.slice(3).padEnd(3, "0").slice(0, 3);
  return Date.parse(timestamp) + Number(beyond) / 1000;
}

/** 0.84 ms, 14.2 ms, 320 ms, 1.24 s, 12 s, 3 min, 2 h, 4 d. */
export function duration(ms) {
  const abs = Math.abs(ms);
  if (abs < 10) return `${ms.toFixed(2)} ms`;
  if (abs < 100) return `${ms.toFixed(1)} ms`;
  if (abs < 1000) return `${ms.toFixed(0)} ms`;
  if (abs < 10_000) return `${(ms / 1000).toFixed(2)} s`;
  if (abs < 120_000) return `${(ms / 1000).toFixed(0)} s`;
  if (abs < 7_200_000) return `${(ms / 60_000).toFixed(0)} min`;
  if (abs < 172_800_000) return `${(ms / 3_600_000).toFixed(0)} h`;
  return `${(ms / 86_400_000).toFixed(0)} d`;
}

/** A number that always fits in five characters. */
export function compact(n) {
  if (n >= 100_000) return `${Math.round(n / 1000)}k`;
  if (n >= 10_000) return `${(n / 1000).toFixed(1)}k`;
  if (n >= 100 || Number.isInteger(n)) return String(Math.round(n));
  return n.toFixed(n < 1 ? 2 : 1);
}

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const preciseFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export const clock = (timestamp) => clockFormat.format(new Date(timestamp));
export const preciseClock = (timestamp) => preciseFormat.format(new Date(timestamp));
export const day = (timestamp) => dayFormat.format(new Date(timestamp));
