/** Source: kubernetes/cli-runtime pkg/printers/tabwriter.go: cells are this wide at least, with so much space behind. */
const minimum = 6;
const padding = 3;

/**
 * Lays out lines of cells in columns, the last one ragged. Widths are remembered: what is written later
 * never makes a column narrower.
 */
export class TabWriter {
  readonly #widths: number[] = [];

  /** The lines as text, each ended with a newline. */
  format(rows: readonly (readonly string[])[]): string {
    for (const row of rows) {
      for (const [column, cell] of row.slice(0, -1).entries()) {
        const width = Math.max(minimum, widthOf(cell) + padding);
        this.#widths[column] = Math.max(this.#widths[column] ?? 0, width);
      }
    }
    return rows.map((row) => `${this.#line(row)}\n`).join("");
  }

  #line(row: readonly string[]): string {
    return row
      .map((cell, column) =>
        column === row.length - 1 ? cell : cell + " ".repeat((this.#widths[column] ?? 0) - widthOf(cell)),
      )
      .join("");
  }
}

/** Characters, not UTF-16 units. */
function widthOf(cell: string): number {
  return /^[\u0000-\u007f]*$/.test(cell) ? cell.length : [...cell].length;
}
