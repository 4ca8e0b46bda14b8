import { readFile } from "node:fs/promises";

const variable = "HAWSER_WORKS_ON";

/**
 * The environment of a program that is started for a sandbox or container: whatever it starts has it too, and so all that works
 * on the object is found again, also by a later runtime. Nobody else has it, whatever its name and arguments.
 */
export function workingOn(id: string): Record<string, string> {
  return { [variable]: id };
}

/** Was this process started for the object? What has become a container's own process was not: it has its own environment. */
export async function worksOn(pid: number, id: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => ""); // it has ended
  return environment.split("\0").includes(`${variable}=${id}`);
}
