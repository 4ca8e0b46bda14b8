import type { KubernetesObject } from "@hawser/api";
import { TabWriter } from "./tabwriter.ts";
import { visible } from "./visible.ts";

/** A server's Table answer. Source: kubernetes/apimachinery pkg/apis/meta/v1/types.go */
export interface Table {
  kind: "Table";
  apiVersion: string;
  metadata?: { resourceVersion?: string; continue?: string };
  columnDefinitions?: ColumnDefinition[] | null;
  rows?: TableRow[] | null;
}

export interface ColumnDefinition {
  name: string;
  type?: string;
  format?: string;
  /** 0 is always shown, the others only with -o wide. */
  priority?: number;
}

export interface TableRow {
  cells: unknown[];
  /** Metadata alone, unless more was asked for. */
  object?: KubernetesObject;
}

export interface TableOptions {
  wide?: boolean;
  noHeaders?: boolean;
  /** A NAMESPACE column first. */
  withNamespace?: boolean;
  /** Names as `pod/web`: the kind before the slash. */
  kind?: string | undefined;
  showLabels?: boolean;
  /** A column for each of these labels. */
  labelColumns?: readonly string[];
}

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "Table";
}

/**
 * Prints tables of one kind of object, one after the other: the header once, and again when the columns change.
 *
 * Source: kubernetes/cli-runtime pkg/printers/tableprinter.go
 */
export class TablePrinter {
  readonly #options: TableOptions;
  readonly #writer = new TabWriter();
  #columns: ColumnDefinition[] = [];
  #headed = false;

  constructor(options: TableOptions = {}) {
    this.#options = options;
  }

  /** `event` is shown in a column of its own. Empty for a table without rows. */
  print(table: Table, event?: string): string {
    const { wide = false, noHeaders = false } = this.#options;
    const given = table.columnDefinitions ?? [];
    // Events of a watch leave the columns out when they are those of before.
    if (given.length > 0 && JSON.stringify(given) !== JSON.stringify(this.#columns)) {
      this.#columns = given;
      this.#headed = false;
    }
    const rows = table.rows ?? [];
    if (rows.length === 0) return "";
    const columns = this.#columns;
    const shown = columns.flatMap(({ priority = 0 }, index) => (wide || priority === 0 ? [index] : []));
    const lines: string[][] = [];
    if (!noHeaders && !this.#headed)
      lines.push(
        this.#header(
          shown.map((index) => columns[index]?.name ?? ""),
          event,
        ),
      );
    this.#headed = true;
    for (const row of rows) lines.push(this.#line(row, shown, event));
    return this.#writer.format(lines);
  }

  #header(names: string[], event: string | undefined): string[] {
    const { withNamespace, showLabels, labelColumns = [] } = this.#options;
    return [
      ...(event ? ["EVENT"] : []),
      ...(withNamespace ? ["NAMESPACE"] : []),
      ...names.map((name) => visible(name.toUpperCase())),
      ...labelColumns.map((label) => label.slice(label.lastIndexOf("/") + 1).toUpperCase()),
      ...(showLabels ? ["LABELS"] : []),
    ];
  }

  #line({ cells, object }: TableRow, shown: number[], event: string | undefined): string[] {
    const { withNamespace, showLabels, labelColumns = [], kind } = this.#options;
    const labels = object?.metadata?.labels ?? {};
    const nameColumn = this.#columns.findIndex(({ format }) => format === "name");
    return [
      ...(event ? [event.padEnd(8)] : []),
      ...(withNamespace ? [cellText(object?.metadata?.namespace)] : []),
      ...shown.map((index) =>
        kind && index === nameColumn ? `${kind}/${cellText(cells[index])}` : cellText(cells[index]),
      ),
      ...labelColumns.map((label) => (labels[label] === undefined ? "<none>" : cellText(labels[label]))),
      ...(showLabels ? [cellText(formatLabels(labels))] : []),
    ];
  }
}

/** `a=1,b=2`, sorted; `<none>` for none. */
export function formatLabels(labels: Record<string, string>): string {
  const pairs = Object.keys(labels).sort();
  return pairs.length > 0 ? pairs.map((name) => `${name}=${labels[name]}`).join(",") : "<none>";
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const end = text.search(/[\n\r\f]/);
  return end >= 0 ? `${visible(text.slice(0, end))}...` : visible(text).replaceAll("\t", " ");
}
