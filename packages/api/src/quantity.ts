// Source: kubernetes/apimachinery pkg/api/resource/{quantity,suffixer}.go
const suffixes: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** In base units: `100m` of cpu is 0.1, `1Ki` of memory 1024. Throws RangeError when it is no quantity. */
export function parseQuantity(text: string): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([KMGTPE]i|[numkMGTPE]))?$/.exec(text);
  if (!match) {
    throw new RangeError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  }
  const [, digits, exponent, suffix = ""] = match;
  if (exponent !== undefined) return Number(`${digits}e${exponent}`);
  const factor = suffixes[suffix] ?? 1;
  // Division keeps 100m exactly 0.1, where 100 * 0.001 would not be.
  return factor < 1 ? Number(digits) / Math.round(1 / factor) : Number(digits) * factor;
}

export function isQuantity(text: string): boolean {
  try {
    parseQuantity(text);
    return true;
  } catch {
    return false;
  }
}

/** Thousandths, rounded up as Kubernetes does: `0.1` is 100. */
export function milliValue(text: string): number {
  return Math.ceil(Number((parseQuantity(text) * 1000).toPrecision(15)));
}

/**
 * The shortest exact form, as Kubernetes writes it: 0.1 is `100m`, 1024 with `binary` is `1Ki`, 3 is `3`.
 * Values finer than a nano-unit are rounded up.
 */
export function formatQuantity(value: number, format: "decimal" | "binary" = "decimal"): string {
  if (value === 0) return "0";
  if (format === "binary" && Number.isInteger(value) && Math.abs(value) >= 1024) {
    const unit = ["Ei", "Pi", "Ti", "Gi", "Mi", "Ki"].find((name) => value % (suffixes[name] ?? 1) === 0);
    return unit ? `${value / (suffixes[unit] ?? 1)}${unit}` : String(value);
  }
  if (Number.isInteger(value)) {
    const unit = ["E", "P", "T", "G", "M", "k"].find((name) => value % (suffixes[name] ?? 1) === 0);
    return unit ? `${value / (suffixes[unit] ?? 1)}${unit}` : String(value);
  }
  for (const [unit, scale] of [
    ["m", 1e3],
    ["u", 1e6],
  ] as const) {
    const scaled = Number((value * scale).toPrecision(15));
    if (Number.isInteger(scaled)) return `${scaled}${unit}`;
  }
  return `${Math.ceil(Number((value * 1e9).toPrecision(15)))}n`;
}
