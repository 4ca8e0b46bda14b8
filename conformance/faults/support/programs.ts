import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { eventually } from "@hawser/testing";

/** What a program does in place of its work, or after it. */
export type Fault = "fail" | "after" | "hang" | "die" | "garbage";

/** Programs that stand before the genuine ones, and fail when they are told to. */
export interface Programs extends AsyncDisposable {
  /** For PATH: crun and conmon. */
  bin: string;
  /** For cniBinDir. */
  cni: string;
  /** From now on `program` has this fault when it is called for `command` (crun's, or CNI_COMMAND; "any" for conmon). */
  spoil(program: string, command: string, fault: Fault): Promise<void>;
  /** Resolves when one hangs. */
  hangs(): Promise<void>;
  /** All work as they should. */
  mend(): Promise<void>;
}

const cniPlugins = ["bridge", "loopback", "portmap", "host-local"];

export async function faultyPrograms(genuineCNI = "/usr/lib/cni"): Promise<Programs> {
  const folder = await mkdtemp(path.join(tmpdir(), "hawser-programs-"));
  const [bin, cni] = [path.join(folder, "bin"), path.join(folder, "cni")];
  const [plan, hanging] = [path.join(folder, "plan"), path.join(folder, "hanging")];
  for (const directory of [bin, cni]) await mkdir(directory);
  const script = (genuine: string, command: string) => `#!/bin/sh
command=any
${command}
read -r program what fault < ${plan} || :
if [ "$program $what" = "$(basename "$0") $command" ]; then
  case $fault in
    fail) echo "made to fail" >&2; exit 1 ;;
    after) ${genuine} "$@"; exit 1 ;;
    hang) : > ${hanging}; while :; do sleep 0.2; done ;;
    die) kill -9 $$ ;;
    garbage) echo '{"ips": ['; exit 0 ;;
  esac
fi
exec ${genuine} "$@"
`;
  const add = async (file: string, text: string) => {
    await writeFile(file, text);
    await chmod(file, 0o755);
  };
  const crunCommand =
    "for word; do case $word in run|create|start|delete|exec|update) command=$word; break ;; esac; done";
  await add(path.join(bin, "crun"), script("/usr/bin/crun", crunCommand));
  await add(path.join(bin, "conmon"), script("/usr/bin/conmon", ""));
  for (const name of cniPlugins) {
    await add(path.join(cni, name), script(path.join(genuineCNI, name), "command=$CNI_COMMAND"));
  }
  const mend = async () => {
    await rm(hanging, { force: true });
    await writeFile(plan, "");
  };
  await mend();
  return {
    bin,
    cni,
    mend,
    hangs: async () => {
      await eventually(async () => (await stat(hanging).catch(() => undefined)) !== undefined);
    },
    spoil: (program, command, fault) => writeFile(plan, `${program} ${command} ${fault}\n`),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
