// Kinds that are data to us: stored, shown, watched.
import { type ConfigMap, checkDNS1035Label, checkDNSSubdomain, type Secret, type ServiceAccount } from "@hawser/api";
import type { Endpoints, Service } from "kubernetes-types/core/v1.js";
import { ageColumn, nameColumn, text } from "../columns.ts";
import { forbiddenField, required } from "../field-error.ts";
import { define } from "../kind.ts";

const core = { group: "", version: "v1", namespaced: true } as const;

export const configMaps = define<ConfigMap>({
  ...core,
  resource: "configmaps",
  kind: "ConfigMap",
  singular: "configmap",
  shortNames: ["cm"],
  checkName: checkDNSSubdomain,
  update: {
    validate: (next, current) =>
      current.immutable &&
      JSON.stringify([next.data, next.binaryData]) !== JSON.stringify([current.data, current.binaryData])
        ? [forbiddenField("data", "field is immutable when `immutable` is set")]
        : [],
  },
  columns: [nameColumn, { name: "Data", type: "string", description: "How many entries.", cell: entries }, ageColumn],
});

function entries({ data = {}, binaryData = {} }: ConfigMap): string {
  return String(Object.keys(data).length + Object.keys(binaryData).length);
}

export const secrets = define<Secret>({
  ...core,
  resource: "secrets",
  kind: "Secret",
  singular: "secret",
  checkName: checkDNSSubdomain,
  prepare(object) {
    object.type ||= "Opaque";
    plainToBase64(object);
  },
  update: {
    prepare(next, current) {
      if (current.type) next.type ||= current.type;
      plainToBase64(next);
    },
    validate(next, current) {
      const errors = next.type === current.type ? [] : [forbiddenField("type", "field is immutable")];
      if (current.immutable && JSON.stringify(next.data) !== JSON.stringify(current.data)) {
        errors.push(forbiddenField("data", "field is immutable when `immutable` is set"));
      }
      return errors;
    },
  },
  fields: ({ type }) => ({ type: type ?? "" }),
  columns: [
    nameColumn,
    text("Type", "What the data is for.", ({ type }) => type ?? ""),
    {
      name: "Data",
      type: "string",
      description: "How many entries.",
      cell: ({ data = {} }) => String(Object.keys(data).length),
    },
    ageColumn,
  ],
});

/** `stringData` is for writing only. */
function plainToBase64(object: Secret): void {
  const { stringData } = object;
  if (!stringData) return;
  const encoded = Object.entries(stringData).map(([key, value]) => [key, Buffer.from(value).toString("base64")]);
  object.data = { ...object.data, ...Object.fromEntries(encoded) };
  delete object.stringData;
}

export const serviceAccounts = define<ServiceAccount>({
  ...core,
  resource: "serviceaccounts",
  kind: "ServiceAccount",
  singular: "serviceaccount",
  shortNames: ["sa"],
  checkName: checkDNSSubdomain,
  columns: [
    nameColumn,
    {
      name: "Secrets",
      type: "string",
      description: "How many secrets.",
      cell: ({ secrets = [] }) => String(secrets.length),
    },
    ageColumn,
  ],
  deletion: { returnsObject: true },
});

export const services = define<Service>({
  ...core,
  resource: "services",
  kind: "Service",
  singular: "service",
  shortNames: ["svc"],
  categories: ["all"],
  checkName: checkDNS1035Label,
  subresources: { status: {} },
  prepare(object) {
    object.spec = { type: "ClusterIP", sessionAffinity: "None", ...object.spec };
    for (const port of object.spec.ports ?? []) {
      port.protocol ??= "TCP";
      port.targetPort ??= port.port;
    }
    Object.assign(object, { status: { loadBalancer: {} } });
  },
  validate: ({ spec }) =>
    spec?.type !== "ExternalName" && spec?.clusterIP !== "None" && (spec?.ports ?? []).length === 0
      ? [required("spec.ports")]
      : [],
  columns: [
    nameColumn,
    text("Type", "How it is reached.", ({ spec }) => spec?.type ?? ""),
    text("Cluster-IP", "Address within the cluster.", ({ spec }) => spec?.clusterIP ?? ""),
    text("External-IP", "Addresses from outside.", ({ spec }) => (spec?.externalIPs ?? []).join(",")),
    text("Port(s)", "Its ports.", ({ spec }) =>
      (spec?.ports ?? [])
        .map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ""}/${protocol ?? "TCP"}`)
        .join(","),
    ),
    ageColumn,
    text(
      "Selector",
      "Its pods.",
      ({ spec }) =>
        Object.entries(spec?.selector ?? {})
          .map((pair) => pair.join("="))
          .join(","),
      1,
    ),
  ],
  deletion: { returnsObject: true },
});

export const endpoints = define<Endpoints>({
  ...core,
  resource: "endpoints",
  kind: "Endpoints",
  singular: "endpoints",
  shortNames: ["ep"],
  checkName: checkDNSSubdomain,
  columns: [
    nameColumn,
    text("Endpoints", "Addresses and ports.", ({ subsets = [] }) =>
      subsets
        .flatMap(({ addresses = [], ports = [] }) =>
          addresses.flatMap(({ ip }) => (ports.length > 0 ? ports.map(({ port }) => `${ip}:${port}`) : [ip])),
        )
        .join(","),
    ),
    ageColumn,
  ],
});
