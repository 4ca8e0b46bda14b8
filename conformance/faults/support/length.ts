/** The long form was asked for: `make test-faults`. */
export const thorough = process.env.HAWSER_FAULTS === "all";
