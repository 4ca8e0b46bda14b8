import type { Pod } from "@hawser/api";
import type { Context } from "../command.ts";
import { CommandError } from "../errors.ts";
import { duration, FlagValueError, parseDuration, text, toggle } from "../flags/flag.ts";

export const containerFlag = text({
  short: "c",
  usage:
    "Container name. If omitted, use the kubectl.kubernetes.io/default-container annotation for selecting the container to be attached or the first container in the pod will be chosen",
});

export const podRunningTimeout = (initial: number) =>
  duration(
    {
      usage: "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running",
    },
    initial,
  );

/** On every command that has sessions. The API server's and the kubelet's flag of this name is about theirs. */
export const peerTimeoutFlag = {
  ...duration(
    {
      usage:
        "The length of time (like 30s, 2m) after which a server counts as lost that acknowledges nothing of what it was sent; twice that where it acknowledges, and answers no ping. Zero for as long as TCP has it",
    },
    30_000,
  ),
  take(value: string): number {
    const milliseconds = parseDuration(value);
    if (milliseconds < 0) throw new FlagValueError("it must not be negative");
    return milliseconds;
  },
};

/** The flags exec and attach share. */
export const streamFlags = {
  container: containerFlag,
  "pod-running-timeout": podRunningTimeout(60_000),
  quiet: toggle({ short: "q", usage: "Only print output from the remote session" }),
  stdin: toggle({ short: "i", usage: "Pass stdin to the container" }),
  "stream-peer-timeout": peerTimeoutFlag,
  tty: toggle({ short: "t", usage: "Stdin is a TTY" }),
};

export const brokenSessionNote = `Exit codes:
  The exit code of the command, 1 for an error of ours, 255 when the session broke off or ended without a word on
  how the command ended: its success is then unknown.`;

export function checkTimeout(milliseconds: number): void {
  if (milliseconds <= 0) throw new CommandError("--pod-running-timeout must be higher than zero");
}

export interface TerminalChoice {
  stdin: boolean;
  /** A terminal at both ends: ours goes raw. */
  raw: boolean;
}

/** Source: kubernetes/kubectl pkg/cmd/exec/exec.go SetupTTY */
export function chooseTerminal(
  { io, warn }: Context,
  { stdin, tty, quiet }: { stdin: boolean; tty: boolean; quiet: boolean },
): TerminalChoice {
  if (!stdin) return { stdin: false, raw: false };
  if (!tty) return { stdin: true, raw: false };
  if (io.stdin.isTTY) return { stdin: true, raw: true };
  if (!quiet) warn("Unable to use a TTY - input is not a terminal or the right kind of file");
  return { stdin: true, raw: false };
}

export function isCompleted({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}
