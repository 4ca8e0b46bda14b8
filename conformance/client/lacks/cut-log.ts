// Reads a log with @kubernetes/client-node, with every listener a program can add.
import { PassThrough } from "node:stream";
import { KubeConfig, Log } from "@kubernetes/client-node";

const config = new KubeConfig();
const caData = Buffer.from(process.env.TEST_CA ?? "").toString("base64");
config.loadFromOptions({
  clusters: [{ name: "c", server: process.env.TEST_SERVER ?? "", caData, skipTLSVerify: false }],
  users: [{ name: "u" }],
  contexts: [{ name: "x", cluster: "c", user: "u" }],
  currentContext: "x",
});
const stream = new PassThrough();
stream.on("error", () => {}).pipe(process.stdout);
await new Log(config).log("default", "web", "c", stream, { follow: true }).catch(() => {});
