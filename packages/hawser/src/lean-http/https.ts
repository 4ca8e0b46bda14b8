// In place of `node:https` in the bundle of `hawser exec`: scripts/build-plugins.ts.
import { Agent } from "./agent.ts";
import { requestBy } from "./request.ts";

export { Agent };
export const request = requestBy(true);
export default { Agent, request };
