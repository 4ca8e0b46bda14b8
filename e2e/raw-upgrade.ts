// Asks an API server for an upgrade as no kubectl would, and prints what it said: for tests of its own refusals.
// `raw-upgrade.ts KUBECONFIG PATH`; run on a host of the lab. Prints {"statusCode":…,"body":…}.
import { request } from "node:https";
import { loadKubeconfig } from "@hawser/client";

const [kubeconfig = "", path = ""] = process.argv.slice(2);
const config = await loadKubeconfig({ path: kubeconfig });
const sent = request(new URL(path, config.server), {
  ...config.tls,
  method: "POST",
  headers: {
    Connection: "Upgrade",
    Upgrade: "SPDY/3.1",
    "X-Stream-Protocol-Version": "v4.channel.k8s.io",
    ...(await config.headers()),
  },
});
sent.on("response", async (response) => {
  const body = Buffer.concat(await response.toArray()).toString();
  console.log(JSON.stringify({ statusCode: response.statusCode, body }));
});
sent.on("upgrade", (response, socket) => {
  console.log(JSON.stringify({ statusCode: response.statusCode, body: "" }));
  socket.destroy();
});
sent.end();
