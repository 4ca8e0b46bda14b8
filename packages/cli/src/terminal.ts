import type { IO, TerminalSize } from "./io.ts";

/** The terminal in raw mode, until it is disposed. */
export interface RawTerminal extends AsyncDisposable {
  /** Its size now and whenever it changes; ends when it is disposed. */
  sizes: AsyncIterable<TerminalSize>;
}

/**
 * Puts the terminal on stdin into raw mode: each key goes to the remote side as it is, Ctrl-C included. It does so once more
 * whenever this process goes on after it was stopped: a shell has set the terminal to its own liking meanwhile.
 * `redraw` first tells a size one larger, so that a program that was running before draws its screen anew.
 */
export async function enterRawMode(io: IO, { redraw = false } = {}): Promise<RawTerminal> {
  io.stdin.setRawMode?.(true);
  const closed = new AbortController();
  let passing: Promise<void> | undefined;
  const again = () => {
    io.stdin.setRawMode?.(false); // what is raw already would be left as it is
    io.stdin.setRawMode?.(true);
    passing = io.passOutput?.();
  };
  const stopListening = io.onContinue?.(again);
  // A terminal that goes away must not throw at whoever writes the last words.
  await io.passOutput?.();
  return {
    sizes: sizes(io, { redraw, signal: closed.signal }),
    async [Symbol.asyncDispose]() {
      closed.abort();
      stopListening?.();
      await passing; // or it would undo what follows
      io.stdin.setRawMode?.(false);
    },
  };
}

/** Of stdout, when it is a terminal. */
function sizeOf({ stdout }: IO): TerminalSize | undefined {
  const { columns = 0, rows = 0 } = stdout;
  return stdout.isTTY && columns > 0 && rows > 0 ? { width: columns, height: rows } : undefined;
}

async function* sizes(
  io: IO,
  { redraw, signal }: { redraw: boolean; signal: AbortSignal },
): AsyncGenerator<TerminalSize> {
  let wake: () => void = () => {};
  let changed = true;
  const onResize = () => {
    changed = true;
    wake();
  };
  const onAbort = () => wake();
  io.stdout.on("resize", onResize);
  signal.addEventListener("abort", onAbort);
  try {
    const first = sizeOf(io);
    if (redraw && first) yield { width: first.width + 1, height: first.height + 1 };
    while (!signal.aborted) {
      if (!changed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      changed = false;
      const size = sizeOf(io);
      if (size) yield size;
    }
  } finally {
    io.stdout.off("resize", onResize);
    signal.removeEventListener("abort", onAbort);
  }
}
