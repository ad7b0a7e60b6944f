package main

import (
	"go.temporal.io/server/common/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// serverLogger writes to the state folder's log, or to standard error, until
// it is silenced.
func serverLogger(o *options, st *state) (logger log.Logger, silence func()) {
	if o.logLevel == "never" {
		return log.NewNoopLogger(), func() {}
	}
	format := "console"
	if o.logFormat == "json" {
		format = "json"
	}
	level := zap.NewAtomicLevelAt(zap.DebugLevel)
	built := log.BuildZapLogger(log.Config{Level: o.logLevel, Format: format, OutputFile: st.logFile})
	cutOff := zap.WrapCore(func(core zapcore.Core) zapcore.Core { return cutOffCore{core, level} })
	return log.NewZapLogger(built.WithOptions(cutOff)), func() { level.SetLevel(zap.FatalLevel) }
}

// cutOffCore drops what is below a level that may rise while it is in use.
type cutOffCore struct {
	zapcore.Core
	level zap.AtomicLevel
}

func (c cutOffCore) Enabled(l zapcore.Level) bool { return c.level.Enabled(l) && c.Core.Enabled(l) }

func (c cutOffCore) With(fields []zapcore.Field) zapcore.Core {
	return cutOffCore{c.Core.With(fields), c.level}
}

func (c cutOffCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.level.Enabled(e.Level) {
		return ce
	}
	return c.Core.Check(e, ce)
}
