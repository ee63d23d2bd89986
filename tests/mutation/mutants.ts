/**
 * Changes to a TypeScript file, one at a time: mutants. A test that passes with a mutant does not
 * check what the mutant changes.
 *
 * The types are replaced by spaces first, so that a parser of JavaScript finds each place at its
 * offset in the TypeScript.
 *
 * @module
 */

import { stripTypeScriptTypes } from "node:module";
import { type AnyNode, parse } from "acorn";

/** One change. */
export interface Mutant {
  /** The file, by its path in the project. */
  readonly file: string;
  /** Offset of the text that it replaces, and of the end of that text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
  /** The new text. */
  readonly text: string;
  /** The line where it starts, from 1. */
  readonly line: number;
  /** What it does, for the reader. */
  readonly change: string;
}

/** Operators, each with the one that replaces it. */
const OPERATORS: Readonly<Record<string, string>> = {
  "===": "!==",
  "!==": "===",
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "+": "-",
  "-": "+",
  "*": "+",
  "/": "*",
  "&": "|",
  "|": "&",
  "^": "|",
  "<<": ">>>",
  ">>>": "<<",
  "&&": "||",
  "||": "&&",
  "+=": "-=",
  "-=": "+=",
  "|=": "&=",
  "&=": "|=",
  "++": "--",
  "--": "++",
};

/** A place to change: the offsets, and the new text. */
type Change = readonly [start: number, end: number, text: string];

/** Returns the operator between two operands, replaced. Comments between them keep their place. */
function operatorChange(source: string, operator: string, from: number, to: number): Change[] {
  const other = OPERATORS[operator], at = source.indexOf(operator, from);
  return other === undefined || at < 0 || at >= to ? [] : [[at, at + operator.length, other]];
}

/** Returns the changes of a node itself, without those of its children. */
function changesOf(node: AnyNode, source: string): Change[] {
  switch (node.type) {
    case "BinaryExpression":
    case "LogicalExpression":
    case "AssignmentExpression":
      return operatorChange(source, node.operator, node.left.end, node.right.start);
    case "UpdateExpression":
      return node.prefix
        ? operatorChange(source, node.operator, node.start, node.argument.start)
        : operatorChange(source, node.operator, node.argument.end, node.end);
    case "UnaryExpression":
      return node.operator === "!" ? [[node.start, node.start + 1, ""]] : [];
    case "Literal":
      if (typeof node.value === "number") {
        return [[node.start, node.end, node.value === 1 ? "0" : String(node.value + 1)]];
      }
      return typeof node.value === "boolean" ? [[node.start, node.end, `${!node.value}`]] : [];
    case "IfStatement":
    case "WhileStatement":
    case "ConditionalExpression":
      // A comparison or a negation is already changed by its operator.
      if (["BinaryExpression", "UnaryExpression"].includes(node.test.type)) return [];
      return [[
        node.test.start,
        node.test.end,
        `!(${source.slice(node.test.start, node.test.end)})`,
      ]];
    case "ExpressionStatement":
      if (node.directive !== undefined || source.startsWith("super(", node.start)) return [];
      return [[node.start, node.end, "{}"]];
    case "ThrowStatement":
      return [[node.start, node.end, "{}"]];
    default:
      return [];
  }
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

/** Calls `visit` for a node and all nodes below it. */
function walk(node: AnyNode, visit: (node: AnyNode) => void): void {
  visit(node);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) walk(child, visit);
    }
  }
}

/** Returns a text in one line, shortened. */
function brief(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 57)}...` : line;
}

/**
 * Returns all mutants of a file, in the order of their places.
 *
 * @param file Its path in the project.
 * @param source Its text.
 */
export function mutantsOf(file: string, source: string): Mutant[] {
  const script = stripTypeScriptTypes(source);
  const found: Mutant[] = [];
  walk(parse(script, { ecmaVersion: "latest", sourceType: "module" }), (node) => {
    for (const [start, end, text] of changesOf(node, script)) {
      const before = source.slice(start, end);
      found.push({
        ...{ file, start, end, text },
        line: source.slice(0, start).split("\n").length,
        change: text === "{}" || text === ""
          ? `without ${brief(before)}`
          : `${brief(before)} -> ${brief(text)}`,
      });
    }
  });
  return found.toSorted((a, b) => a.start - b.start);
}

/** Returns the source with the mutant in it. */
export function mutate(source: string, { start, end, text }: Mutant): string {
  return source.slice(0, start) + text + source.slice(end);
}
