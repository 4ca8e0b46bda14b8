import { access } from "node:fs/promises";

/** Is there anything of this path? False too for what cannot be looked at. */
export async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}
