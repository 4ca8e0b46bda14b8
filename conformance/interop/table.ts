// docs/interop.md: written from cells that were run, and read again by the test that runs some of them.

/** One cell. */
export interface Cell {
  runtime: string;
  client: string;
  verb: string;
  /** What was seen instead, in one line; undefined for a cell that does what its row says. */
  why?: string | undefined;
  /** Said beside the tick: another transport than the column's. */
  note?: string | undefined;
}

const tick = "✓";
const cross = "✗";

/** The tables, one for each runtime, and their footnotes. */
export function renderTables(cells: Cell[]): string {
  const footnotes: string[] = [];
  const parts: string[] = [];
  for (const runtime of unique(cells.map((cell) => cell.runtime))) {
    const here = cells.filter((cell) => cell.runtime === runtime);
    const clients = unique(here.map((cell) => cell.client));
    const row = (name: string, values: string[]) => `| ${[name, ...values].join(" | ")} |`;
    parts.push(
      `## ${runtime}`,
      "",
      row("", clients.map(columnHead)),
      row(
        "---",
        clients.map(() => ":-:"),
      ),
    );
    for (const verb of unique(here.map((cell) => cell.verb))) {
      const values = clients.map((client) => {
        const cell = here.find((one) => one.client === client && one.verb === verb);
        if (!cell) return "";
        if (cell.why === undefined) return cell.note ? `${tick} ${cell.note}` : tick;
        footnotes.push(`${runtime}, ${client}, ${verb}: ${cell.why}`);
        return `${cross}[^${footnotes.length}]`;
      });
      parts.push(row(verb, values));
    }
    parts.push("");
  }
  const notes = footnotes.map((text, index) => `[^${index + 1}]: ${text}`);
  return [...parts, ...notes].join("\n");
}

/** Which cells of a document are ticked, by `runtime/client/verb`. */
export function parseTables(text: string): Map<string, boolean> {
  const found = new Map<string, boolean>();
  let runtime = "";
  let clients: string[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("## ")) {
      runtime = line.slice(3);
      clients = [];
    }
    if (!line.startsWith("|") || line.includes(":-:")) continue;
    const [verb = "", ...values] = line
      .slice(1, -1)
      .split("|")
      .map((value) => value.trim());
    if (verb === "") clients = values.map((head) => head.replaceAll("<br>", " "));
    else
      for (const [index, value] of values.entries())
        found.set(`${runtime}/${clients[index]}/${verb}`, value.startsWith(tick));
  }
  return found;
}

function columnHead(client: string): string {
  return client.replaceAll(" ", "<br>");
}

function unique(values: string[]): string[] {
  return [...new Set(values)];
}
