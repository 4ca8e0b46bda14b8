import { startContainerd } from "../conformance/containerd/containerd.ts";
import { postScenario, startPostLab } from "./post.ts";

postScenario({
  name: "P18 the post with containerd as the runtime",
  open: () =>
    startPostLab({
      foreignRuntime: ({ on, registry }) =>
        startContainerd({ launcher: on, mirrors: { "docker.io": `http://${registry.host}` } }),
    }),
  runtimeVersion: /^containerd:\/\/1\.6/,
  monitor: /containerd-shim/,
  endsWithClient: false,
});
