/**
 * Reads coverage reports in the lcov format, and shows them as a table.
 *
 * @module
 */

/** Parts covered, of all. */
export interface Share {
  readonly covered: number;
  readonly all: number;
}

/** The coverage of a file. */
export interface FileCoverage {
  /** Its path in the project. */
  readonly file: string;
  readonly lines: Share;
  readonly branches: Share;
  /** Numbers of the lines that ran, ascending. */
  readonly ran: readonly number[];
  /** Numbers of the lines that did not run, ascending. */
  readonly uncovered: readonly number[];
}

/** Records of the format: source file, line with its count, branch with its count, end. */
const RECORD = /^(SF|DA|BRDA):(.*)$/;

/**
 * Returns the coverage of each file in a report, sorted by path.
 *
 * @param project The directory of the project, with a slash at its end.
 */
export function readLcov(text: string, project: string): FileCoverage[] {
  return text.split("end_of_record\n").filter((part) => part.includes("SF:")).map((part) => {
    let file = "", branches = 0, taken = 0;
    const counts = new Map<number, number>();
    for (const line of part.split("\n")) {
      const [, kind, value = ""] = RECORD.exec(line) ?? [];
      const fields = value.split(",");
      if (kind === "SF") file = value.replace(project, "");
      if (kind === "DA") counts.set(Number(fields[0]), Number(fields[1]));
      if (kind === "BRDA") {
        branches++;
        if (Number(fields[3]) > 0) taken++; // "-": its condition never ran
      }
    }
    const lines = [...counts.keys()].toSorted((a, b) => a - b);
    const ran = lines.filter((line) => counts.get(line)! > 0);
    return {
      file,
      lines: { covered: ran.length, all: lines.length },
      branches: { covered: taken, all: branches },
      ran,
      uncovered: lines.filter((line) => counts.get(line) === 0),
    };
  }).toSorted((a, b) => a.file < b.file ? -1 : 1);
}

/** Returns the sum of shares. */
export function sum(shares: readonly Share[]): Share {
  return {
    covered: shares.reduce((total, { covered }) => total + covered, 0),
    all: shares.reduce((total, { all }) => total + all, 0),
  };
}

/** Returns line numbers as ranges: `3, 5-8`. */
export function ranges(numbers: readonly number[]): string {
  const found: [first: number, last: number][] = [];
  for (const n of numbers) {
    const last = found.at(-1);
    if (last !== undefined && n === last[1] + 1) last[1] = n;
    else found.push([n, n]);
  }
  return found.map(([first, last]) => first === last ? `${first}` : `${first}-${last}`).join(", ");
}

function percent({ covered, all }: Share): string {
  return all === 0 ? "-" : (covered / all * 100).toFixed(1);
}

/** A row of the table: what it is about, then the two shares. */
function row(name: string, width: number, lines: Share, branches: Share): string {
  const counts = [percent(lines), `${lines.covered}/${lines.all}`, percent(branches)];
  const widths = [8, 13, 10];
  return [
    name.padEnd(width),
    ...counts.map((text, i) => text.padStart(widths[i])),
    `${branches.covered}/${branches.all}`.padStart(13),
  ].join("");
}

/**
 * Returns a table of the files, with a total for each room and for all.
 *
 * @param rooms Folders, in the order to show.
 * @param uncovered Whether to list the lines that did not run, below each file.
 */
export function table(
  files: readonly FileCoverage[],
  rooms: readonly string[],
  uncovered: boolean,
): string[] {
  const width = Math.max(...files.map(({ file }) => file.length)) + 2;
  const totals = (some: readonly FileCoverage[], name: string) =>
    row(name, width, sum(some.map(({ lines }) => lines)), sum(some.map((each) => each.branches)));
  const header = "".padEnd(width) + "lines %".padStart(8) + "lines".padStart(13) +
    "branches %".padStart(10 + 1) + "branches".padStart(13 - 1);
  return [
    header,
    ...rooms.flatMap((room) => {
      const inside = files.filter(({ file }) => file.startsWith(room));
      if (inside.length === 0) return [];
      return [
        ...inside.flatMap((each) => [
          row(`  ${each.file}`, width, each.lines, each.branches),
          ...(uncovered && each.uncovered.length > 0
            ? [`      not run: ${ranges(each.uncovered)}`]
            : []),
        ]),
        totals(inside, room),
      ];
    }),
    totals(files, "all"),
  ];
}
