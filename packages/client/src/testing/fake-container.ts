import { spawn } from "node:child_process";
import { once } from "node:events";
import { exitStatus, parsePodExecOptions } from "@hawser/api";
import { acceptRemoteCommand, type ServerSession } from "@hawser/streaming";
import { type FakeServer, fakeServer } from "./fake-server.ts";

export interface FakeContainerOptions {
  /** The working directory of its commands, which are this machine's. */
  directory: string;
  /** Commands that it does not have. */
  without?: readonly string[];
  /** Answers a command itself. */
  answer?: (command: string[], session: ServerSession) => Promise<boolean>;
  /** Bytes of each session's output, or input, until its connection is cut; the sessions after the list's end are whole. */
  cutAfter?: number[];
  /** Which commands are cut; every one where absent. */
  isCut?: (command: string[]) => boolean;
  /** Whose connection is cut when it has ended, so that its exit code is lost. */
  losesAnswer?: (command: string[]) => boolean;
}

export interface FakeContainer extends AsyncDisposable {
  server: FakeServer;
  /** Each command that was run. */
  commands: string[][];
  /** Resolves when nothing runs. */
  idle(): Promise<void>;
}

/** A server whose execs run programs of this machine. */
export async function fakeContainer(options: FakeContainerOptions): Promise<FakeContainer> {
  const { directory, without = [], answer, isCut = () => true, losesAnswer = () => false } = options;
  const cuts = [...(options.cutAfter ?? [])];
  const commands: string[][] = [];
  const running = new Set<Promise<unknown>>();
  const server = await fakeServer(
    (_, response) => response.destroy(),
    async (upgrade) => {
      const query = new URL(upgrade.request.url ?? "", "https://h").searchParams;
      await using session = await acceptRemoteCommand(upgrade, parsePodExecOptions(query));
      const command = query.getAll("command");
      commands.push(command);
      if (await answer?.(command, session)) return;
      const [program = "", ...args] = command;
      if (without.includes(program)) {
        await session.stderr?.write(Buffer.from(`executable file \`${program}\` not found in $PATH\n`));
        return await session.finish(exitStatus(127));
      }
      let left = isCut(command) ? (cuts.shift() ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
      const child = spawn(program, args, { cwd: directory, stdio: ["pipe", "pipe", "pipe"] });
      const closed = once(child, "close");
      running.add(closed);
      void closed.then(() => running.delete(closed));
      const passed = (length: number) => {
        left -= length;
        if (left < 0) upgrade.socket.destroy();
      };
      const input = async () => {
        for await (const chunk of session.stdin ?? []) {
          passed(chunk.length);
          if (!child.stdin.write(chunk)) await once(child.stdin, "drain");
        }
        child.stdin.end();
      };
      child.stdin.on("error", () => {}); // a command may leave its input unread
      input().catch(() => {
        child.stdin.end();
        child.kill("SIGHUP");
      });
      const output = async () => {
        for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
          await session.stdout?.write(chunk);
          passed(chunk.length);
        }
      };
      const words = async () => {
        for await (const chunk of child.stderr as AsyncIterable<Buffer>) await session.stderr?.write(chunk);
      };
      try {
        await Promise.all([output(), words()]);
      } catch {
        child.kill("SIGHUP"); // the client is gone
      }
      const [code] = await closed;
      if (losesAnswer(command)) upgrade.socket.destroy();
      await session.finish(exitStatus(code ?? 129)).catch(() => {}); // cut
    },
  );
  const idle = async () => {
    while (running.size > 0) await Promise.all(running);
  };
  return { server, commands, idle, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}
