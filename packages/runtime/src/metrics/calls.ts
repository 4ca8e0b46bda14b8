import { type CallReport, codeName } from "@hawser/cri";
import type { Family } from "@hawser/trace";

/** Different kinds of calls counted: every method of both versions with a few codes each; further ones are left out. */
const maxKinds = 2000;

/**
 * Counts calls by service, method and gRPC code, under the name that containerd has from go-grpc-middleware: one dashboard
 * for both. Methods are those we serve, so a caller cannot make up a label.
 */
export class CallCounts {
  readonly #kinds = new Map<string, { labels: Record<string, string>; value: number }>();

  record({ kind, service, method, code }: Pick<CallReport, "kind" | "service" | "method" | "code">): void {
    const name = `${service}/${method} ${code}`;
    const known = this.#kinds.get(name);
    if (known) known.value++;
    else if (this.#kinds.size < maxKinds) {
      const labels = { grpc_code: codeName(code), grpc_method: method, grpc_service: service, grpc_type: kind };
      this.#kinds.set(name, { labels, value: 1 });
    }
  }

  families(): Family[] {
    const help = "Total number of RPCs completed on the server, regardless of success or failure.";
    return [{ name: "grpc_server_handled_total", help, type: "counter", samples: [...this.#kinds.values()] }];
  }
}
