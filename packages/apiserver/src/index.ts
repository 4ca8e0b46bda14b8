export { type Apiserver, type ApiserverOptions, startApiserver } from "./server.ts";
