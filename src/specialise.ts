/**
 * Compiles functions for one queue each, and lists what the hot path assumes about V8. What the points
 * say of V8 was observed with Deno 2.9 on x86-64: it is V8's practice, not a rule of the language. All
 * points but the last affect only speed; the drivers rely on the last one for correctness.
 *
 * - **Arrays as constants.** If only one closure was ever created from a piece of source text, V8 treats
 *   its `const`s, and its parameters if they are never assigned, as constants: a typed array's address
 *   and length become part of the machine code. {@linkcode specialise} creates such closures. A method
 *   that queues share has to load and check a dozen arrays in each call.
 * - **Imported constants.** An imported binding is loaded and checked at each use, in some six
 *   instructions. A constant of the module itself, or in the scope of a specialised function, is part of
 *   the machine code.
 * - **Fields that are constants.** A class that lists a field without a value defines it as `undefined`,
 *   and what the constructor assigns is a change. V8 then loads and checks the field at each use, and knows
 *   no type of it. With `declare`, the constructor's value is the first one, and stays a constant. In batches
 *   of 1, this alone took forwarding from 26 to 32 million packets a second on the bench's instrument.
 * - **Undefined is not a constant.** V8 loads a captured variable that holds `undefined` at each use, because
 *   it may not be initialised yet. A boolean computed from it outside the function is a constant.
 * - **Addresses as doubles.** A `Float64Array` copies a 64-bit bus address in one load and one store.
 *   The code does no arithmetic with it, so its bits do not change: V8 might change those of a NaN, but
 *   no address is that high (2^63 - 2^52).
 * - **Positions in an `Int32Array`, totals in a `Float64Array`.** Totals are exact up to 2^53. If a field of
 *   an object passes 2^31, its representation changes, and V8 discards the code that uses it. But V8 adds
 *   to a double with checks, in some 20 instructions, and converts it before it can be an index. So a
 *   queue keeps positions as 32-bit numbers that wrap, and adds to its totals once for many packets.
 * - **Few stores.** A store to a cache line that the device had last waits for the line, and all later stores
 *   wait behind it, also those to the stack; the processor has room for some 64. In `instrument/limit.c`
 *   of the bench, 16 more stores a packet took a third of the rate with far cores, 80 more instructions
 *   without stores took 7 %. So descriptors are written in 64-bit words, and small batches follow each other
 *   without a call in between.
 * - **What is hot is inlined together.** V8 inlines functions into another one while their bytecode, with that
 *   of the next one counted 1.2 times, has at most 920 bytes. If a function was optimised by itself before, what it
 *   inlined then counts as well. `receive` and `transmit` of ixgbe just fit into the forwarder. What is rare is
 *   kept out of them with {@linkcode apart}; `tests/src/inlining_test.ts` adds up the bytes.
 * - **Integers stay integers** with `| 0`, `>>>`, `&` and `Math.imul`; a division makes a double.
 * - **Indices with `+`.** V8 knows the range of `(i << 2) + 2` if it knows that of `i`, but not that of
 *   `i << 2 | 2`. If the index is in range for sure, its check needs no state to deoptimise to, and the
 *   loop keeps fewer values alive.
 * - **Loops in functions of their own.** V8 optimises a short function well if it only loops. It does
 *   less well with a loop in a long function, or in one that awaits. In nested loops it may load the length and
 *   the address of a captured array each time.
 * - **Order of loads and stores.** A driver reads a descriptor after its DD bit, and writes it before the
 *   tail register. x86 keeps loads in order, and stores in order. V8 has neither reordered nor merged
 *   such accesses to typed arrays.
 *
 * @module
 */

let compiled = 0;
/** Whether code must not be made from strings, as a page's Content-Security-Policy can demand. */
let forbidden = false;

/**
 * Returns a version of `make` that compiles itself anew in each call. The functions that it returns share
 * no code, so that V8 treats their parameters as constants. Compared with methods that load their fields
 * once per call, forwarding within one process on one core takes 0.60 of the time in batches of 1, 0.69
 * in batches of 4, and 0.83 in batches of 32. Between two cores, ixgbe's batches of 32 gain nothing.
 *
 * Only the text of `make` is compiled, outside its module. The text may refer to its parameters, to the
 * names in `scope` and to globals; `tests/src/specialise_test.ts` checks that it refers to nothing else.
 *
 * In stack traces, profiles and debuggers each copy is a script of its own, named after the file and
 * the function: `rx_queue.ts#receiver-1`. Line numbers count from the beginning of the text.
 *
 * Where code must not be made from strings, the version is `make` itself, whose functions share their
 * code.
 *
 * @param file The file that contains `make`: `import.meta.url`.
 * @param scope Constants and functions of the module that the text refers to, by name.
 * @param make Returns the specialised function.
 */
export function specialise<Parameters extends unknown[], Made>(
  file: string,
  scope: Readonly<Record<string, unknown>>,
  make: (...parameters: Parameters) => Made,
): (...parameters: Parameters) => Made {
  return (...parameters) => {
    // The name also makes each text unique: V8 shares the code of equal texts.
    const name = `${file}#${make.name}-${++compiled}`;
    const text = `"use strict"; return ${make}\n//# sourceURL=${name}`;
    const outer = compile(Object.keys(scope), text);
    return (outer === undefined ? make : outer(...Object.values(scope)) as typeof make)(
      ...parameters,
    );
  };
}

/**
 * Returns a version of a function that V8 does not inline: it inlines no call through a proxy. Such a call takes
 * 10 to 30 ns, so this is for what is rare, and for long loops.
 */
export function apart<F extends (...parameters: never[]) => unknown>(rare: F): F {
  return new Proxy(rare, {});
}

/** Compiles a function from its text; returns undefined where code must not be made from strings. */
function compile(
  names: readonly string[],
  text: string,
): ((...values: unknown[]) => unknown) | undefined {
  if (forbidden) return undefined;
  try {
    return new Function(...names, text) as (...values: unknown[]) => unknown;
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    forbidden = true;
    return undefined;
  }
}
