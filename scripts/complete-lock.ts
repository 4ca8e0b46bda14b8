// Adds to package-lock.json the optional platform packages that `npm install` dropped because the registry in reach
// does not serve them: `npm ci` refuses a lock in which they are missing. Run after each `npm install`.
import { readFile, writeFile } from "node:fs/promises";

interface LockEntry {
  version?: string;
  resolved?: string;
  link?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}
interface Lock {
  packages: Record<string, LockEntry>;
}

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "sunos", "win32"];
const processors: Record<string, string> = {
  arm: "arm",
  gnueabihf: "arm",
  arm64: "arm64",
  ia32: "ia32",
  x64: "x64",
  riscv64: "riscv64",
  loong64: "loong64",
  ppc64: "ppc64",
  s390x: "s390x",
};
const libraries: Record<string, string> = { musl: "musl", gnu: "glibc", gnueabihf: "glibc" };

/** Returns the names added. Entries carry no integrity: the registry that wrote the lock never saw the package. */
export function completeLock(lock: Lock): string[] {
  const added: string[] = [];
  for (const [folder, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (lock.packages[`node_modules/${name}`] || lock.packages[`${folder}/node_modules/${name}`]) continue;
      if (!/^\d/.test(version))
        throw new Error(`${folder}: optional dependency ${name}@${version} is not an exact version`);
      lock.packages[`node_modules/${name}`] = { version, ...platform(name), optional: true };
      added.push(`${name}@${version}`);
    }
  }
  // A host name of whoever ran npm last has no place in the lock; links keep their folder.
  for (const entry of Object.values(lock.packages)) if (!entry.link) delete entry.resolved;
  const [root = ["", {}], ...rest] = Object.entries(lock.packages);
  lock.packages = Object.fromEntries([root, ...rest.sort(([a], [b]) => a.localeCompare(b, "en"))]);
  return added;
}

/** By the naming habit of such packages: `@biomejs/cli-linux-arm64-musl`. */
function platform(name: string): Pick<LockEntry, "os" | "cpu" | "libc"> {
  const words = name.split(/[-/]/);
  const os = words.filter((word) => systems.includes(word));
  const cpu = words.flatMap((word) => processors[word] ?? []);
  const libc = words.flatMap((word) => libraries[word] ?? []);
  if (os.length !== 1 || cpu.length === 0) throw new Error(`cannot tell the platform of ${name} from its name`);
  return { cpu: [...new Set(cpu)], os, ...(libc.length > 0 && { libc }) };
}

if (import.meta.main) {
  const path = new URL("../package-lock.json", import.meta.url);
  const lock: Lock = JSON.parse(await readFile(path, "utf8"));
  const added = completeLock(lock);
  await writeFile(path, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(added.length > 0 ? `package-lock.json: added ${added.join(", ")}` : "package-lock.json: complete");
}
