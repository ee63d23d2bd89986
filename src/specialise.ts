/**
 * Functions compiled for one queue each, and what the hot path knows of V8. All of it is for speed but
 * the last point, which the drivers rely on to be correct. Observed with Deno 2.9 on x86-64.
 *
 * - **Arrays as constants.** Where only one closure was ever made from a piece of source text, V8 takes
 *   its parameters and `const`s that are never assigned as constants: a typed array's address and
 *   length are part of the machine code. A method that queues share has to load and check a dozen arrays
 *   with each call. {@linkcode specialise} makes such closures.
 * - **Imported constants.** A binding that is imported is loaded and checked at each use, some six
 *   instructions; a constant of the module itself, or in the scope of a specialised function, is part
 *   of the machine code.
 * - **Addresses as doubles.** A `Float64Array` moves a 64-bit bus address in one load and one store.
 *   Nothing is calculated with it, so its bits stay as they are: an address is never high enough to be
 *   a NaN (2^63 - 2^52), whose bits V8 might change.
 * - **Counters in a `Float64Array`.** They are exact up to 2^53. The representation of a field changes
 *   when its value passes 2^31, and V8 then discards the code that uses it.
 * - **Integers stay integers** by `| 0`, `>>>`, `&` and `Math.imul`; a division makes a double.
 * - **Loops in functions of their own.** V8 optimises a short function that only loops as a whole. It
 *   does less well with a loop in a long function, or in one that awaits.
 * - **Order of loads and stores.** A descriptor is read after its DD bit, and written before the tail
 *   register. x86 keeps loads in order, and stores; V8 neither reorders nor merges those of typed arrays.
 *   That is V8's practice, not a rule of the language.
 *
 * @module
 */

let compiled = 0;

/**
 * Returns a `make` that compiles itself anew with each call, so that what it returns shares no code
 * with what another call has returned, and V8 takes its parameters as constants. Against methods that
 * load their fields once a call, forwarding on one core takes 0.60 of the time in batches of 1, 0.69 in
 * batches of 4, and 0.83 in batches of 32.
 *
 * Only the text of `make` is compiled, outside its module. It may refer to its parameters, to what
 * `scope` names and to globals; `tests/src/specialise_test.ts` checks that it refers to nothing else.
 *
 * In stack traces, profiles and debuggers each copy is a script of its own, named after the file and
 * the function: `rx_queue.ts#receiver-1`. Lines are counted from the beginning of the text.
 *
 * @param file The file of `make`: `import.meta.url`.
 * @param scope Constants and functions of its module that the text refers to, by their names.
 * @param make Returns the specialised function.
 */
export function specialise<Parameters extends unknown[], Made>(
  file: string,
  scope: Readonly<Record<string, unknown>>,
  make: (...parameters: Parameters) => Made,
): (...parameters: Parameters) => Made {
  return (...parameters) => {
    // The name also sets the text apart from all others: V8 shares the code of equal texts.
    const name = `${file}#${make.name}-${++compiled}`;
    const text = `"use strict"; return ${make}\n//# sourceURL=${name}`;
    return new Function(...Object.keys(scope), text)(...Object.values(scope))(...parameters);
  };
}
