// A terminal to look at: tmux, with a server of its own for each.
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, must, run } from "@hawser/testing";

/** A shell on a terminal whose screen can be captured. Disposing ends all of it. */
export interface Screen extends AsyncDisposable {
  /** What the screen shows. */
  text(): Promise<string>;
  /** Types keys by tmux's names: `C-c`, `Enter`; or text. */
  type(...keys: string[]): Promise<void>;
  /** Waits until the screen shows it. */
  shows(pattern: RegExp | string): Promise<string>;
  resize(columns: number, rows: number): Promise<void>;
  /** Device of the terminal. */
  tty: string;
  /** The shell's process: the leader of the terminal's session. */
  shell: number;
}

/** Opens a terminal of so many columns and rows with a plain shell in it, whose prompt is `here$ `. */
export async function openScreen({ columns = 90, rows = 28 } = {}, env: NodeJS.ProcessEnv = {}): Promise<Screen> {
  const socket = join(tmpdir(), `hawser-tmux-${randomBytes(4).toString("hex")}`);
  const tmux = (...args: string[]) => must(["tmux", "-S", socket, "-f", "/dev/null", ...args]);
  const size = ["-x", String(columns), "-y", String(rows)];
  await must(["tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", ...size, "sh"], {
    env: { ...env, TERM: "xterm", ENV: "" },
  });
  const text = () => tmux("capture-pane", "-p");
  const screen: Screen = {
    text,
    async type(...keys) {
      await tmux("send-keys", ...keys);
    },
    async shows(pattern) {
      let last = "";
      const look = async () => {
        last = await text();
        return typeof pattern === "string" ? last.includes(pattern) : pattern.test(last);
      };
      await eventually(`the screen shows ${pattern}`, look, { everyMs: 50 }).catch((cause) => {
        throw new Error(`the screen does not show ${pattern}:\n${last}`, { cause });
      });
      return last;
    },
    async resize(width, height) {
      await tmux("resize-window", "-x", String(width), "-y", String(height));
    },
    tty: (await tmux("display-message", "-p", "#{pane_tty}")).trim(),
    shell: Number(await tmux("display-message", "-p", "#{pane_pid}")),
    async [Symbol.asyncDispose]() {
      await run(["tmux", "-S", socket, "kill-server"]);
      await rm(socket, { force: true });
    },
  };
  try {
    await screen.type("PS1='here$ '; clear", "Enter"); // some shells take none from the environment
    await screen.shows(/^here\$ *\n*$/);
  } catch (error) {
    await screen[Symbol.asyncDispose]();
    throw error;
  }
  return screen;
}
