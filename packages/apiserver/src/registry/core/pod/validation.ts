import {
  type Container,
  checkDNSLabel,
  checkDNSSubdomain,
  isQuantity,
  type Pod,
  type PodSpec,
  parseQuantity,
} from "@hawser/api";
import { duplicate, type FieldError, invalidValue, notFoundField, notSupported, required } from "../../field-error.ts";

const environmentName = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/;

/** Source: kubernetes/kubernetes pkg/apis/core/validation/validation.go */
export function validatePod(pod: Pod): FieldError[] {
  const { spec } = pod;
  if (!spec) return [required("spec.containers")];
  return [...validateVolumes(spec), ...validateContainers(spec), ...validatePolicies(spec)];
}

function validatePolicies(spec: PodSpec): FieldError[] {
  const errors = [
    ...oneOf("spec.restartPolicy", spec.restartPolicy, ["Always", "OnFailure", "Never"]),
    ...oneOf("spec.dnsPolicy", spec.dnsPolicy, ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]),
    ...notNegative("spec.terminationGracePeriodSeconds", spec.terminationGracePeriodSeconds),
  ];
  if (spec.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds < 1) {
    const text = "must be between 1 and 2147483647, inclusive";
    errors.push(invalidValue("spec.activeDeadlineSeconds", spec.activeDeadlineSeconds, text));
  }
  if (spec.nodeName) errors.push(...named("spec.nodeName", spec.nodeName, checkDNSSubdomain));
  if (spec.serviceAccountName) {
    errors.push(...named("spec.serviceAccountName", spec.serviceAccountName, checkDNSSubdomain));
  }
  if (spec.hostname) errors.push(...named("spec.hostname", spec.hostname, checkDNSLabel));
  return errors;
}

function validateVolumes({ volumes = [] }: PodSpec): FieldError[] {
  const seen = new Set<string>();
  return volumes.flatMap((volume, index) => {
    const field = `spec.volumes[${index}]`;
    const errors = uniqueName(`${field}.name`, volume.name, seen);
    const sources = Object.keys(volume).filter((key) => key !== "name");
    if (sources.length > 1) {
      const message = "may not specify more than 1 volume type";
      errors.push({ field: `${field}.${sources[1]}`, reason: "FieldValueForbidden", message: `Forbidden: ${message}` });
    }
    if (volume.hostPath && !volume.hostPath.path) errors.push(required(`${field}.hostPath.path`));
    return errors;
  });
}

function validateContainers(spec: PodSpec): FieldError[] {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = spec;
  const seen = new Set<string>();
  const volumes = new Set((spec.volumes ?? []).map(({ name }) => name));
  const each = (list: Container[], field: string) =>
    list.flatMap((container, index) => validateContainer(container, `spec.${field}[${index}]`, { seen, volumes }));
  return [
    ...(containers.length === 0 ? [required("spec.containers")] : []),
    ...each(containers, "containers"),
    ...each(initContainers, "initContainers"),
    ...each(ephemeralContainers, "ephemeralContainers"),
  ];
}

function validateContainer(
  container: Container,
  field: string,
  { seen, volumes }: { seen: Set<string>; volumes: Set<string> },
): FieldError[] {
  const { image = "", env = [] } = container;
  const errors = uniqueName(`${field}.name`, container.name, seen);
  if (image === "") errors.push(required(`${field}.image`));
  else if (image.trim() !== image) {
    errors.push(invalidValue(`${field}.image`, image, "must not have leading or trailing whitespace"));
  }
  errors.push(
    ...oneOf(`${field}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"]),
    ...oneOf(`${field}.terminationMessagePolicy`, container.terminationMessagePolicy, [
      "File",
      "FallbackToLogsOnError",
    ]),
    ...validatePorts(container, field),
    ...validateMounts(container, field, volumes),
    ...validateResources(container, field),
  );
  for (const [index, { name }] of env.entries()) {
    if (!name) errors.push(required(`${field}.env[${index}].name`));
    else if (!environmentName.test(name)) {
      const text =
        "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')";
      errors.push(invalidValue(`${field}.env[${index}].name`, name, text));
    }
  }
  return errors;
}

function validatePorts({ ports = [] }: Container, container: string): FieldError[] {
  return ports.flatMap(({ containerPort, hostPort, protocol }, index) => {
    const field = `${container}.ports[${index}]`;
    return [
      ...(containerPort ? portNumber(`${field}.containerPort`, containerPort) : [required(`${field}.containerPort`)]),
      ...(hostPort ? portNumber(`${field}.hostPort`, hostPort) : []),
      ...oneOf(`${field}.protocol`, protocol, ["TCP", "UDP", "SCTP"]),
    ];
  });
}

function portNumber(field: string, port: number): FieldError[] {
  return port >= 1 && port <= 65535 ? [] : [invalidValue(field, port, "must be between 1 and 65535, inclusive")];
}

function validateMounts({ volumeMounts = [] }: Container, container: string, volumes: Set<string>): FieldError[] {
  const paths = new Set<string>();
  return volumeMounts.flatMap(({ name, mountPath }, index) => {
    const field = `${container}.volumeMounts[${index}]`;
    const errors: FieldError[] = [];
    if (!name) errors.push(required(`${field}.name`));
    else if (!volumes.has(name)) errors.push(notFoundField(`${field}.name`, name));
    if (!mountPath) errors.push(required(`${field}.mountPath`));
    else if (paths.has(mountPath)) errors.push(invalidValue(`${field}.mountPath`, mountPath, "must be unique"));
    paths.add(mountPath);
    return errors;
  });
}

function validateResources({ resources = {} }: Container, container: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const part of ["limits", "requests"] as const) {
    for (const [name, value] of Object.entries(resources[part] ?? {})) {
      const field = `${container}.resources.${part}[${name}]`;
      if (!isQuantity(String(value))) {
        errors.push(
          invalidValue(
            field,
            value,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
          ),
        );
      } else if (parseQuantity(String(value)) < 0) {
        errors.push(invalidValue(field, value, "must be greater than or equal to 0"));
      }
    }
  }
  if (errors.length > 0) return errors;
  for (const [name, request] of Object.entries(resources.requests ?? {})) {
    const limit = resources.limits?.[name];
    if (limit !== undefined && parseQuantity(String(request)) > parseQuantity(String(limit))) {
      const text = `must be less than or equal to ${name} limit of ${limit}`;
      errors.push(invalidValue(`${container}.resources.requests`, request, text));
    }
  }
  return errors;
}

function uniqueName(field: string, name: string | undefined, seen: Set<string>): FieldError[] {
  if (!name) return [required(field)];
  const errors = named(field, name, checkDNSLabel);
  if (errors.length === 0 && seen.has(name)) errors.push(duplicate(field, name));
  seen.add(name);
  return errors;
}

function named(field: string, value: string, check: (value: string) => string[]): FieldError[] {
  return check(value).map((text) => invalidValue(field, value, text));
}

function oneOf(field: string, value: string | undefined, allowed: string[]): FieldError[] {
  return value === undefined || allowed.includes(value) ? [] : [notSupported(field, value, allowed)];
}

function notNegative(field: string, value: number | undefined): FieldError[] {
  return value === undefined || value >= 0 ? [] : [invalidValue(field, value, "must be greater than or equal to 0")];
}
