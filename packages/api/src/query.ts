/**
 * A boolean of a query, as Kubernetes reads it: present, and anything but `false` and `0`; the empty string is true.
 *
 * Source: kubernetes/apimachinery pkg/runtime/conversion.go Convert_Slice_string_To_bool
 */
export function booleanParameter(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && value.toLowerCase() !== "false" && value !== "0";
}
