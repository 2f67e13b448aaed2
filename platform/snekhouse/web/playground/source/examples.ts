/** Programs that show what differs between versions of Python: their first two lines are a title and a description. */

import comprehensionsWithoutAFrame from "./examples/comprehensions_without_a_frame.py";
import datesInIso8601 from "./examples/dates_in_iso_8601.py";
import deferredAnnotations from "./examples/deferred_annotations.py";
import enumsInFStrings from "./examples/enums_in_f_strings.py";
import errorsThatHelp from "./examples/errors_that_help.py";
import mergedDictionaries from "./examples/merged_dictionaries.py";
import modulesThatCameAndWent from "./examples/modules_that_came_and_went.py";
import newSyntax from "./examples/new_syntax.py";
import quotesWithinFStrings from "./examples/quotes_within_f_strings.py";
import snapshotsOfLocals from "./examples/snapshots_of_locals.py";
import sumsOfFloats from "./examples/sums_of_floats.py";
import tasksThatFailTogether from "./examples/tasks_that_fail_together.py";

export interface Example {
  title: string;
  about: string;
  code: string;
}

const PROGRAMS = [
  newSyntax,
  errorsThatHelp,
  sumsOfFloats,
  modulesThatCameAndWent,
  mergedDictionaries,
  snapshotsOfLocals,
  enumsInFStrings,
  quotesWithinFStrings,
  tasksThatFailTogether,
  datesInIso8601,
  comprehensionsWithoutAFrame,
  deferredAnnotations,
];

export const EXAMPLES: Example[] = PROGRAMS.map((code) => {
  const [title, about] = code.split("\n", 2).map((line) => line.replace(/^# /, "")) as [string, string];
  return { title, about, code };
});
