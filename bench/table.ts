import { median, p90, type Samples } from "./measure.ts";

export interface Row {
  title: string;
  cells: ReadonlyMap<string, Samples | Error>;
}

/** A Markdown table: one line a row, one column a contestant; a cell is the median, with the 90th percentile behind it where it says more. */
export function markdown(columns: readonly string[], rows: readonly Row[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(["", ...columns]),
    line(["---", ...columns.map(() => "---:")]),
    ...rows.map(({ title, cells }) => line([title, ...columns.map((column) => cell(cells.get(column)))])),
  ].join("\n");
}

function cell(value: Samples | Error | undefined): string {
  if (value === undefined) return "";
  if (value instanceof Error) return `failed: ${value.message.split("\n")[0]?.replaceAll("|", "\\|").slice(0, 60)}`;
  if (value.sorted.length === 0) return "";
  const middle = digits(median(value));
  return value.unit === "ms" && value.sorted.length > 1 ? `${middle} (p90 ${digits(p90(value))})` : middle;
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
