// In place of `node:http` in the bundle of `hawser exec`: scripts/build-plugins.ts.
import { Agent } from "./agent.ts";
import { requestBy } from "./request.ts";

export { Agent };
export const request = requestBy(false);
export default { Agent, request };
