package wasm

import "bytes"

// What the name section holds (WebAssembly Core 2.0, appendix "Name Section").
const (
	nameSection   = "name"
	functionNames = 1
)

// FunctionNames gives the names that a module has for some of its functions, by index.
// It is for people alone: the section is the guest's own word, and one that is cut off
// or missing gives fewer names and no error.
func FunctionNames(module []byte, wanted map[uint32]bool) map[uint32]string {
	found := map[uint32]string{}
	if len(module) > MaxModuleBytes || !bytes.HasPrefix(module, Header) {
		return found
	}
	r := &reader{data: module, at: len(Header), end: len(module)}
	for r.left() > 0 && r.err == nil {
		id := r.byte()
		content := r.sub(r.count("bytes of a section", MaxModuleBytes))
		if r.err == nil && id == SectionCustom && content.name() == nameSection {
			readNames(content, wanted, found)
			break
		}
	}
	return found
}

func readNames(r *reader, wanted map[uint32]bool, found map[uint32]string) {
	for r.left() > 0 && r.err == nil {
		id := r.byte()
		part := r.sub(r.count("bytes of names", MaxModuleBytes))
		if id != functionNames {
			continue
		}
		n := part.count("names", MaxItems)
		for i := 0; i < n && part.err == nil && len(found) < len(wanted); i++ {
			index, name := part.u32(), part.name()
			if part.err == nil && wanted[index] {
				found[index] = name
			}
		}
		return
	}
}
