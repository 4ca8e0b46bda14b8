import { parseFlags } from "./flags.ts";
import { MisuseError, write } from "./io.ts";
import type { Verb } from "./verb.ts";

/** Source: kubernetes-sigs/cri-tools cmd/crictl/image.go */
export const pull: Verb = (argv) => {
  const { values, positionals } = parseFlags(argv, { creds: { type: "string" } }, [1, 1]);
  const [image = ""] = positionals;
  const [username = "", ...password] = values.creds?.split(":") ?? [];
  if (values.creds !== undefined && (username === "" || password.length === 0))
    throw new MisuseError("--creds: USER:PASSWORD");
  const auth = values.creds === undefined ? {} : { auth: { username, password: password.join(":") } };
  return {
    values,
    async run({ io, cri }) {
      const { imageRef } = await cri.images.pullImage({ image: { image }, ...auth }, io);
      await write(io.stdout, `Image is up to date for ${imageRef}\n`, io.signal);
    },
  };
};
