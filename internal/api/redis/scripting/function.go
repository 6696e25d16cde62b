package scripting

import (
	"slices"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/glob"
	"github.com/stratadb/strata/internal/model/redis/rdb"
	"github.com/stratadb/strata/internal/script"
)

// Functions are the rows of FUNCTION.
func Functions() []Command {
	const write = aboutScripts | command.FlagWrite
	return []Command{{Name: "function", Summary: "A container for function commands.", Since: "7.0.0", Group: command.GroupScripting, Arity: -2,
		Subcommands: []Command{
			row("delete", "Deletes a library and its functions.", "7.0.0", 3, write, command.KindData, functionDelete),
			row("dump", "Dumps all libraries into a serialized binary payload.", "7.0.0", 2, aboutScripts, command.KindData, functionDump),
			row("flush", "Deletes all libraries and functions.", "7.0.0", -2, write, command.KindData, functionFlush),
			row("kill", "Terminates a function during execution.", "7.0.0", 2, aboutScripts|command.FlagAllowBusy, command.KindConnection, func(c *Call) error { return c.kill(true) }),
			row("list", "Returns information about all libraries.", "7.0.0", -2, aboutScripts, command.KindData, functionList),
			row("load", "Creates a library.", "7.0.0", -3, write|command.FlagDenyOOM, command.KindData, functionLoad),
			row("restore", "Restores all libraries from a payload.", "7.0.0", -3, write|command.FlagDenyOOM, command.KindData, functionRestore),
			row("stats", "Returns information about a function during execution.", "7.0.0", 2, aboutScripts|command.FlagAllowBusy, command.KindData, functionStats),
			help("function", "7.0.0",
				"LOAD [REPLACE] <FUNCTION CODE>", "    Create a new library with the given library name and code.",
				"DELETE <LIBRARY NAME>", "    Delete the given library.",
				"LIST [LIBRARYNAME PATTERN] [WITHCODE]", "    Return general information on all the libraries:",
				"    * Library name", "    * The engine used to run the Library", "    * Library description", "    * Functions list",
				"    * Library code (if WITHCODE is given)", "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
				"STATS", "    Return information about the current function running:", "    * Function name", "    * Command used to run the function",
				"    * Duration in MS that the function is running", "    If no function is running, return nil", "    In addition, returns a list of available engines.",
				"KILL", "    Kill the current running function.",
				"FLUSH [ASYNC|SYNC]", "    Delete all the libraries.", "    When called without the optional mode argument, the behavior is determined by the",
				"    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
				"    * ASYNC: Asynchronously flush the libraries.", "    * SYNC: Synchronously flush the libraries.",
				"DUMP", "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
				"RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]", "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
				"    control how to handle existing libraries (default APPEND):", "    * FLUSH: delete all existing libraries.",
				"    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
				"    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
				"      libraries with the new libraries (notice that even on this option there is a chance of failure",
				"      in case of functions name collision with another library)."),
		}}}
}

// libraries are those that the transaction sees.
func (c *Call) libraries() (*Libraries, error) { return c.Store.Read(c.Txn, c.Namespace, c.Prompt) }

func functionLoad(c *Call) error {
	replace := false
	for _, arg := range c.Args[2 : len(c.Args)-1] {
		if !command.Is(arg, "replace") {
			return command.Error("ERR Unknown option given: " + string(command.Truncated(arg, command.EchoedBytes)))
		}
		replace = true
	}
	lib, err := c.Store.Compile(string(c.Args[len(c.Args)-1]), c.Prompt)
	if err != nil {
		return err
	}
	all, err := c.libraries()
	if err != nil {
		return err
	}
	if err := all.put(lib, replace); err != nil {
		return err
	}
	if err := c.write(lib); err != nil {
		return err
	}
	c.W.BulkString(lib.Name)
	return nil
}

// put adds a library, in place of one of its name with replace.
func (l *Libraries) put(lib *script.Library, replace bool) error {
	if old := l.named(lib.Name); old != nil {
		if !replace {
			return command.Error("ERR Library '" + lib.Name + "' already exists")
		}
		l.remove(old)
	}
	if len(l.All) >= storedLibraries {
		return command.Error("ERR too many libraries are loaded")
	}
	return l.add(lib)
}

func (c *Call) write(lib *script.Library) error {
	catalog.WriteLibrary(c.Txn, c.Namespace, catalog.Library{Name: lib.Name, Code: lib.Code})
	return nil
}

func functionDelete(c *Call) error {
	all, err := c.libraries()
	if err != nil {
		return err
	}
	if all.named(string(c.Args[2])) == nil {
		return command.Error("ERR Library not found")
	}
	catalog.WriteLibrary(c.Txn, c.Namespace, catalog.Library{Name: string(c.Args[2])})
	c.W.OK()
	return nil
}

func functionFlush(c *Call) error {
	if err := flushing(c.Args, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"); err != nil {
		return err
	}
	catalog.FlushLibraries(c.Txn, c.Namespace)
	c.W.OK()
	return nil
}

func functionDump(c *Call) error {
	rows, err := catalog.ReadLibraries(c.Txn, c.Namespace)
	if err != nil {
		return err
	}
	codes := make([]string, len(rows))
	for i := range rows {
		codes[i] = rows[i].Code
	}
	c.W.Bulk(rdb.MarshalFunctions(codes))
	return nil
}

func functionRestore(c *Call) error {
	policy := "append"
	if len(c.Args) > 4 {
		return c.WrongArity()
	}
	if len(c.Args) == 4 {
		policy = ""
		for _, p := range []string{"append", "replace", "flush"} {
			if command.Is(c.Args[3], p) {
				policy = p
			}
		}
		if policy == "" {
			return command.Error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
		}
	}
	codes, sound, known := rdb.UnmarshalFunctions(c.Args[2])
	switch {
	case !sound:
		return rdb.ErrPayload
	case !known:
		return command.Error("ERR given type is not a function")
	}
	all, err := c.libraries()
	if err != nil {
		return err
	}
	if policy == "flush" {
		all = &Libraries{by: map[string]*script.Library{}}
	}
	libs := make([]*script.Library, len(codes))
	for i, code := range codes {
		if libs[i], err = c.Store.Compile(code, c.Prompt); err != nil {
			return err
		}
		if slices.ContainsFunc(libs[:i], func(l *script.Library) bool { return l.Name == libs[i].Name }) {
			return command.Error("ERR Library " + libs[i].Name + " already exists")
		}
		if old := all.named(libs[i].Name); old != nil && policy == "replace" {
			all.remove(old)
		}
	}
	for _, lib := range libs {
		if all.named(lib.Name) != nil {
			return command.Error("ERR Library " + lib.Name + " already exists")
		}
		if err := all.put(lib, false); err != nil {
			return err
		}
	}
	if policy == "flush" {
		catalog.FlushLibraries(c.Txn, c.Namespace)
	}
	for _, lib := range libs {
		if err := c.write(lib); err != nil {
			return err
		}
	}
	c.W.OK()
	return nil
}

// listing are the options of FUNCTION LIST.
type listing struct {
	pattern  []byte
	withCode bool
}

func parseListing(args [][]byte) (o listing, err error) {
	for i := 2; i < len(args); i++ {
		switch {
		case !o.withCode && command.Is(args[i], "withcode"):
			o.withCode = true
		case o.pattern == nil && command.Is(args[i], "libraryname"):
			if i++; i == len(args) {
				return o, command.Error("ERR library name argument was not given")
			}
			o.pattern = args[i]
		default:
			return o, command.Error("ERR Unknown argument " + string(command.Truncated(args[i], command.EchoedBytes)))
		}
	}
	return o, nil
}

func functionList(c *Call) error {
	o, err := parseListing(c.Args)
	if err != nil {
		return err
	}
	all, err := c.libraries()
	if err != nil {
		return err
	}
	n, mark := 0, c.W.DeferArray()
	for _, lib := range all.All {
		if o.pattern != nil && !glob.Match(o.pattern, []byte(lib.Name), true) {
			continue
		}
		n++
		c.describe(lib, o.withCode)
	}
	c.W.Close(mark, n)
	return nil
}

func (c *Call) describe(lib *script.Library, withCode bool) {
	w := c.W
	fields := 3
	if withCode {
		fields++
	}
	w.Map(fields)
	w.BulkString("library_name")
	w.BulkString(lib.Name)
	w.BulkString("engine")
	w.BulkString("LUA")
	w.BulkString("functions")
	w.Array(len(lib.Functions))
	for i := range lib.Functions {
		f := &lib.Functions[i]
		w.Map(3)
		w.BulkString("name")
		w.BulkString(f.Name)
		w.BulkString("description")
		if f.Described {
			w.BulkString(f.Description)
		} else {
			w.Null()
		}
		w.BulkString("flags")
		names := f.Flags.Names()
		w.Set(len(names))
		for _, name := range names {
			w.SimpleString(name)
		}
	}
	if withCode {
		w.BulkString("library_code")
		w.BulkString(lib.Code)
	}
}

func functionStats(c *Call) error {
	all, err := c.libraries()
	if err != nil {
		return err
	}
	w := c.W
	w.Map(2)
	w.BulkString("running_script")
	if r := c.Store.longest(); r == nil {
		w.Null()
	} else {
		w.Map(3)
		w.BulkString("name")
		w.BulkString(r.Name)
		w.BulkString("command")
		w.Array(len(r.Words))
		for _, word := range r.Words {
			w.Bulk(word)
		}
		w.BulkString("duration_ms")
		w.Int(c.Store.now().Sub(r.since).Milliseconds())
	}
	w.BulkString("engines")
	w.Map(1)
	w.BulkString("LUA")
	w.Map(2)
	w.BulkString("libraries_count")
	w.Int(int64(len(all.All)))
	w.BulkString("functions_count")
	w.Int(int64(all.Functions()))
	return nil
}
