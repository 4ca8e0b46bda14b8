import { postScenario, startPostLab } from "./post.ts";
import { runtimeScenario } from "./post-runtime.ts";

postScenario({
  name: "the post with our own runtime and crun",
  open: () => startPostLab({ ociRuntime: "crun", execHelper: false }), // post-runc.test.ts has the way of our own
  runtimeVersion: /^hawser:\/\//,
  monitor: /conmon|crun/,
  endsWithClient: true,
  more: runtimeScenario,
});
