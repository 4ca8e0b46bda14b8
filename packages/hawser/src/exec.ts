// What bin/hawser.cjs runs for `hawser exec`: the client with its one verb, in one bundle.
import { main } from "@hawser/cli/main";
import { runAsProcess } from "./process.ts";

/** Runs this process's own command line and ends the process with its exit code. */
export const start = (): Promise<void> => runAsProcess(main);
