import type { CallContext, GetEventsRequest } from "@hawser/cri";
import type { Context } from "../context.ts";
import type { ContainerEvent } from "./events.ts";

/** CRI GetContainerEvents: what happens to containers and sandboxes from now on, until the caller goes. */
export function getContainerEvents(
  { events }: Pick<Context, "events">,
  _request: GetEventsRequest,
  { signal }: CallContext,
): AsyncIterable<ContainerEvent> {
  return events.listen(signal);
}
