//! A backend that compiles each command by itself, so that none is recorded with others.

use vgg_tensor::{Backend, BufferId, Command, Content, Program, Result, Scalars, Shared};

/// Any backend, whose programs are carried out command by command.
pub(crate) struct OneByOne<B>(pub(crate) B);

impl<B: Backend> Backend for OneByOne<B> {
    type Buffer = B::Buffer;
    type Download = B::Download;
    type Executable = Vec<B::Executable>;

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn bytes(&self, content: Content) -> u64 {
        self.0.bytes(content)
    }

    fn workspace(&self, programs: &[&Program]) -> u64 {
        self.0.workspace(programs)
    }

    fn images_at_once(&self) -> Option<usize> {
        self.0.images_at_once()
    }

    fn check_size(&self, command: &Command) -> Result<()> {
        self.0.check_size(command)
    }

    fn alloc(&mut self, content: Content) -> Result<B::Buffer> {
        self.0.alloc(content)
    }

    fn upload_rows(
        &mut self,
        content: Content,
        first: usize,
        src: &[f32],
        dst: &mut B::Buffer,
    ) -> Result<()> {
        self.0.upload_rows(content, first, src, dst)
    }

    fn upload_bytes(&mut self, src: &[u8], dst: &mut B::Buffer) -> Result<()> {
        self.0.upload_bytes(src, dst)
    }

    fn download(&mut self, content: Content, src: &B::Buffer, dst: &mut [f32]) -> Result<()> {
        self.0.download(content, src, dst)
    }

    fn start_download(&mut self, content: Content, src: &B::Buffer) -> Result<B::Download> {
        self.0.start_download(content, src)
    }

    fn state(&mut self) -> Result<Vec<u32>> {
        self.0.state()
    }

    fn restore_state(&mut self, state: &[u32]) -> Result<()> {
        self.0.restore_state(state)
    }

    fn compile(
        &mut self,
        program: &Program,
        buffers: Vec<Shared<B::Buffer>>,
    ) -> Result<Self::Executable> {
        let compile = |(alone, places): (Program, Vec<_>)| {
            let buffers = places.iter().map(|place: &BufferId| buffers[place.0].clone());
            self.0.compile(&alone, buffers.collect())
        };
        program.one_by_one().map(compile).collect()
    }

    fn run(&mut self, commands: &mut Self::Executable, scalars: Scalars) -> Result<()> {
        commands.iter_mut().try_for_each(|command| self.0.run(command, scalars))
    }
}
