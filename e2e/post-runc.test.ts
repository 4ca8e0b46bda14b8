import { postScenario, startPostLab } from "./post.ts";

postScenario({
  name: "P18 the post with our own runtime and runc",
  open: () => startPostLab({ ociRuntime: "runc" }),
  runtimeVersion: /^hawser:\/\//,
  monitor: /^hawser-exec$/,
  endsWithClient: true,
});
