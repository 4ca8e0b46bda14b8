import { checkDNSLabel, type Namespace } from "@hawser/api";
import { ageColumn, nameColumn, text } from "../columns.ts";
import { define, type ResourceKind } from "../kind.ts";

/** Source: kubernetes/kubernetes pkg/registry/core/namespace/strategy.go, storage/storage.go */
const namespace: ResourceKind<Namespace> = {
  group: "",
  version: "v1",
  resource: "namespaces",
  kind: "Namespace",
  singular: "namespace",
  shortNames: ["ns"],
  namespaced: false,
  checkName: checkDNSLabel,
  prepare(object) {
    object.spec = { finalizers: ["kubernetes"] };
    object.status = { phase: "Active" };
    labelWithName(object);
  },
  update: {
    prepare(next, current) {
      if (current.spec) next.spec = current.spec;
      labelWithName(next);
    },
  },
  subresources: {
    status: {},
    finalize: {
      prepare(next, current) {
        if (current.status) next.status = current.status;
      },
    },
  },
  fields: ({ status }) => ({ "status.phase": status?.phase ?? "" }),
  columns: [nameColumn, text("Status", "The status of the namespace", ({ status }) => status?.phase ?? ""), ageColumn],
  deletion: {
    begin(object) {
      object.status = { ...object.status, phase: "Terminating" };
    },
    // Its content goes first: controllers/namespace.ts gives the finalizer up when there is none left.
    held: ({ spec }) => (spec?.finalizers ?? []).length > 0,
    returnsObject: true,
  },
};

export const namespaces = define(namespace);

function labelWithName(object: Namespace): void {
  const name = object.metadata?.name ?? "";
  object.metadata = { ...object.metadata, labels: { ...object.metadata?.labels, "kubernetes.io/metadata.name": name } };
}
