import { postScenario, startPostLab } from "./post.ts";

postScenario({
  name: "the post with our own runtime and crun",
  open: () => startPostLab({ ociRuntime: "crun" }),
  runtimeVersion: /^hawser:\/\//,
  monitor: /conmon|crun/,
  endsWithClient: true,
});
