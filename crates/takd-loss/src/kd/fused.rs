//! The fused loss as candle sees it: inputs checked, the kernel of their device run once, autograd served from what it
//! left.

use super::{BadRows, KdLoss, Reduction, Target, Terms, TopK, cpu, top_k};
use crate::error::{Error, Input, Result};
use crate::kd::memory::{filled, overwritten};
use crate::kd::numbers::{Logit, Number};
use crate::reference;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
#[cfg(feature = "metal")]
use candle_core::MetalStorage;
#[cfg(any(feature = "cuda", feature = "metal"))]
use candle_core::backend::BackendStorage;
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Storage, Tensor, WithDType};
use half::{bf16, f16};
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// Bytes of a kept gradient from which on it is written past the caches.
const STREAMED: usize = 64 << 20;

/// The loss, differentiable in `student`. Each teacher has its share of the KL term.
pub(crate) fn forward(
    loss: &KdLoss,
    student: &Tensor,
    teachers: &[(&Tensor, f64)],
    labels: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    Problem::new(loss, student, teachers, labels, weights)?.differentiable(student)
}

/// The loss for a teacher of which the largest logits are known.
pub(crate) fn forward_top_k(
    loss: &KdLoss,
    student: &Tensor,
    teacher: &TopK,
    labels: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor> {
    let mut problem = Problem::new(loss, student, &[], labels, weights)?;
    if loss.lambda > 0.0 {
        let rows = top_k::Rows::new(teacher, loss, student)?;
        if !matches!(student.device(), Device::Cpu) {
            if let Some(weights) = weights {
                checked_weights(weights)?;
            }
            (0..problem.batch()).try_for_each(|row| rows.check(row, problem.classes()))?;
            let found = reference::top_k_kd_loss(loss, student, teacher, labels, weights)?;
            problem.check_student_behind(&found)?;
            return Ok(found);
        }
        problem.terms = Terms::new(loss, std::iter::once(1.0), problem.classes());
        problem.top_k = Some(rows);
    }
    problem.differentiable(student)
}

/// The loss and the gradient of its sum for `student`, in the memory of `into` or in new memory.
pub(crate) fn forward_and_grad(
    loss: &KdLoss,
    student: &Tensor,
    teachers: &[(&Tensor, f64)],
    labels: &Tensor,
    into: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    let problem = Problem::new(loss, student, teachers, labels, None)?;
    let gradient = match into {
        Some(grad) => {
            check_room(grad, student, teachers)?;
            Gradient::Into(grad)
        }
        None => Gradient::OfTheSum,
    };
    let Outcome { loss, shape, grad } = problem.solve(gradient)?;
    let grad = grad.map_or_else(|| student.zeros_like(), Ok)?;
    Ok((Tensor::from_storage(loss, shape, BackpropOp::none(), false), grad))
}

/// One loss of one batch, its inputs checked and contiguous.
pub(super) struct Problem {
    pub terms: Terms,
    pub reduction: Reduction,
    pub ignore_index: Option<i64>,
    #[cfg_attr(not(any(feature = "cuda", feature = "metal")), expect(dead_code, reason = "the CPU's are errors"))]
    bad_rows: BadRows,
    /// `[batch, classes]`, detached.
    pub student: Tensor,
    /// Each `[batch, classes]`, all of one type.
    pub teachers: Vec<Tensor>,
    /// Instead of them, a teacher of which the largest logits are known.
    top_k: Option<top_k::Rows>,
    /// `[batch]`; nothing where the loss does not read them.
    pub labels: Option<Tensor>,
    /// `[batch]`, of a float type, f32 on a GPU.
    pub weights: Option<Tensor>,
}

/// The loss of each row, and the gradient where one was asked for.
type Solved = Result<(Vec<f64>, Option<Tensor>)>;

type KernelResult = std::result::Result<(), cpu::NotFiniteRow>;

/// Which gradient the kernel leaves beside the loss.
#[derive(Clone, Copy)]
pub(super) enum Gradient<'a> {
    /// None: nobody asks.
    Skip,
    /// That of the loss, or of the sum of the rows' losses.
    OfTheSum,
    /// The same, in the memory of this tensor, which [`check_room`] has found fit.
    Into(&'a Tensor),
    /// The same, each row times the gradient that came from above: one number, or one a row.
    Times(&'a [f64]),
}

/// What the kernel leaves.
pub(super) struct Outcome {
    pub loss: Storage,
    pub shape: Shape,
    pub grad: Option<Tensor>,
}

impl Problem {
    fn new(
        loss: &KdLoss,
        student: &Tensor,
        teachers: &[(&Tensor, f64)],
        labels: &Tensor,
        weights: Option<&Tensor>,
    ) -> Result<Problem> {
        loss.check()?;
        let shape_error =
            |input, expected: String, found: &Tensor| Error::Shape { input, expected, found: found.shape().clone() };
        let (batch, classes) = match student.dims() {
            &[batch, classes] if classes > 0 => (batch, classes),
            _ => {
                return Err(shape_error(Input::StudentLogits, "[batch, classes], one class or more".into(), student));
            }
        };
        check_logits(Input::StudentLogits, student)?;

        let teachers = if loss.lambda > 0.0 { teachers } else { &[] };
        let terms = Terms::new(loss, teachers.iter().map(|(_, share)| *share), classes);
        let mut teacher_logits = Vec::with_capacity(teachers.len());
        for (teacher, _) in teachers {
            if teacher.dims() != student.dims() {
                let expected = format!("[{batch}, {classes}], as the student's logits");
                return Err(shape_error(Input::TeacherLogits, expected, teacher));
            }
            check_logits(Input::TeacherLogits, teacher)?;
            check_device(Input::TeacherLogits, teacher, student)?;
            teacher_logits.push(teacher.detach().contiguous()?);
        }
        if let Some(common) = common_dtype(student, &teacher_logits) {
            for teacher in &mut teacher_logits {
                *teacher = teacher.to_dtype(common)?;
            }
        }

        let check_rows = |input, rows: &Tensor| match rows.dims() {
            &[length] if length == batch => check_device(input, rows, student),
            _ => Err(shape_error(input, format!("[{batch}], one for each of the student's rows"), rows)),
        };
        let labels = if terms.needs_ce() || loss.ignore_index.is_some() {
            check_rows(Input::Labels, labels)?;
            if !matches!(labels.dtype(), DType::U8 | DType::U32 | DType::I64) {
                return Err(Error::DType { input: Input::Labels, expected: "u32, i64 or u8", found: labels.dtype() });
            }
            Some(labels.contiguous()?)
        } else {
            None
        };
        let weights = match weights {
            Some(weights) => {
                check_rows(Input::Weights, weights)?;
                check_logits(Input::Weights, weights)?;
                let weights = match student.device() {
                    Device::Cpu => weights.detach(),
                    _ => weights.detach().to_dtype(DType::F32)?,
                };
                Some(weights.contiguous()?)
            }
            None => None,
        };
        Ok(Problem {
            terms,
            reduction: loss.reduction,
            ignore_index: loss.ignore_index,
            bad_rows: loss.bad_rows,
            student: student.detach().contiguous()?,
            teachers: teacher_logits,
            top_k: None,
            labels,
            weights,
        })
    }

    pub(super) fn batch(&self) -> usize {
        self.student.dims()[0]
    }

    pub(super) fn classes(&self) -> usize {
        self.student.dims()[1]
    }

    /// The loss, as a node of candle's graph where somebody may ask for its gradient.
    fn differentiable(self, student: &Tensor) -> Result<Tensor> {
        if !student.track_op() {
            let Outcome { loss, shape, .. } = self.solve(Gradient::Skip)?;
            return Ok(Tensor::from_storage(loss, shape, BackpropOp::none(), false));
        }
        let Outcome { loss, shape, grad } = self.solve(Gradient::OfTheSum)?;
        let loss = Mutex::new(Some((loss, shape)));
        Ok(student.apply_op1(FusedKdLoss { problem: self, loss, grad: Mutex::new(grad) })?)
    }

    /// Runs the kernel of the student's device.
    fn solve(&self, gradient: Gradient<'_>) -> Result<Outcome> {
        match self.student.device() {
            Device::Cpu => self.solve_on_cpu(gradient),
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => self.checked(super::cuda::kd_loss(self, gradient)?, gradient),
            #[cfg(feature = "metal")]
            Device::Metal(_) => self.checked(super::metal::kd_loss(self, gradient)?, gradient),
            #[cfg(not(all(feature = "cuda", feature = "metal")))]
            other => Err(no_kernel(other)),
        }
    }

    /// The gradient times what came from above, `ready` being the gradient of the loss where it still is at hand.
    fn solve_backward(&self, ready: Option<Tensor>, upstream: &Tensor) -> Result<Option<Tensor>> {
        match self.student.device() {
            Device::Cpu => {
                let upstream = upstream.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                if ready.is_some() && upstream.iter().all(|&grad| grad == 1.0) {
                    return Ok(ready);
                }
                // Multiplied in before rounding to the logits' type: with f16, a scaled loss is what keeps small
                // gradients from vanishing.
                Ok(self.solve_on_cpu(Gradient::Times(&upstream))?.grad)
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => self.rescaled_by(super::cuda::rescale, ready, upstream),
            #[cfg(feature = "metal")]
            Device::Metal(_) => self.rescaled_by(super::metal::rescale, ready, upstream),
            #[cfg(not(all(feature = "cuda", feature = "metal")))]
            other => Err(no_kernel(other)),
        }
    }

    /// The gradient on a GPU, whose `rescale` multiplies what came from above into it.
    #[cfg(any(feature = "cuda", feature = "metal"))]
    fn rescaled_by(
        &self,
        rescale: impl Fn(&Problem, &Tensor, &Tensor) -> Result<()>,
        ready: Option<Tensor>,
        upstream: &Tensor,
    ) -> Result<Option<Tensor>> {
        let grad = match ready {
            Some(grad) => Some(grad),
            None => self.solve(Gradient::OfTheSum)?.grad,
        };
        if let Some(grad) = &grad {
            rescale(self, grad, upstream)?;
        }
        Ok(grad)
    }

    /// What a GPU found. Where bad rows are errors and it found NaN, what the CPU says to it: most often an error that names
    /// the label or the logit, and else the loss of finite logits too large for the GPU's f32.
    #[cfg(any(feature = "cuda", feature = "metal"))]
    fn checked(&self, found: Outcome, gradient: Gradient<'_>) -> Result<Outcome> {
        if self.bad_rows == BadRows::Nan || is_finite(&found.loss)? {
            return Ok(found);
        }
        let to_cpu = |tensor: &Tensor| tensor.to_device(&Device::Cpu);
        let copy = Problem {
            terms: self.terms.clone(),
            student: to_cpu(&self.student)?,
            teachers: self.teachers.iter().map(to_cpu).collect::<candle_core::Result<_>>()?,
            top_k: None, // has no kernel on a GPU
            labels: self.labels.as_ref().map(to_cpu).transpose()?,
            weights: self.weights.as_ref().map(to_cpu).transpose()?,
            ..*self
        };
        let Outcome { loss, shape, grad } = copy.solve_on_cpu(Gradient::OfTheSum)?;
        let device = self.student.device();
        let loss = Tensor::from_storage(loss, shape.clone(), BackpropOp::none(), false).to_device(device)?;
        let mut grad = grad.map(|grad| grad.to_device(device)).transpose()?;
        if let (Gradient::Into(into), Some(found)) = (gradient, &grad) {
            into.slice_set(found, 0, 0)?;
            grad = Some(into.clone());
        }
        let (storage, layout) = loss.storage_and_layout();
        Ok(Outcome { loss: storage.try_clone(layout)?, shape, grad })
    }

    fn solve_on_cpu(&self, gradient: Gradient<'_>) -> Result<Outcome> {
        let targets = self.targets(gradient)?;
        let (losses, grad) = match self.student.dtype() {
            DType::F64 => match &self.top_k {
                Some(rows) => self.run_top_k(rows, gradient, &targets, top_k::cpu::kd_loss_f64)?,
                None => self.run_teachers(gradient, &targets, cpu::kd_loss_f64)?,
            },
            DType::F32 => self.run_in_f32::<f32>(gradient, &targets)?,
            DType::F16 => self.run_in_f32::<f16>(gradient, &targets)?,
            _ => self.run_in_f32::<bf16>(gradient, &targets)?,
        };
        let (losses, shape) = match self.reduction {
            Reduction::None => (losses, Shape::from(self.batch())),
            // In order, whatever threads made them.
            _ => (vec![losses.iter().sum()], Shape::from(())),
        };
        let loss = match self.student.dtype() {
            DType::F64 => CpuStorage::F64(losses),
            _ => CpuStorage::F32(losses.into_iter().map(|loss| loss as f32).collect()),
        };
        Ok(Outcome { loss: Storage::Cpu(loss), shape, grad })
    }

    /// The kernels that work on any logits in f32.
    fn run_in_f32<S: Logit + WithDType>(&self, gradient: Gradient<'_>, targets: &[Target]) -> Solved {
        if let Some(rows) = &self.top_k {
            return self.run_top_k(rows, gradient, targets, top_k::cpu::kd_loss::<S>);
        }
        match self.teachers.first().map_or(DType::F32, Tensor::dtype) {
            DType::F32 => self.run_teachers(gradient, targets, cpu::kd_loss::<S, f32>),
            DType::F16 => self.run_teachers(gradient, targets, cpu::kd_loss::<S, f16>),
            _ => self.run_teachers(gradient, targets, cpu::kd_loss::<S, bf16>),
        }
    }

    fn run_top_k<S: Number + WithDType>(
        &self,
        rows: &top_k::Rows,
        gradient: Gradient<'_>,
        targets: &[Target],
        kernel: impl Fn(&top_k::cpu::Batch<'_, S>, &mut [f64], Option<&mut [MaybeUninit<S>]>) -> KernelResult,
    ) -> Solved {
        let (classes, terms) = (self.classes(), &self.terms);
        self.run(gradient, |student, losses, grad| {
            kernel(&top_k::cpu::Batch { student, teacher: rows, classes, targets, terms }, losses, grad)
        })
    }

    fn run_teachers<S: Number + WithDType, T: Number + WithDType>(
        &self,
        gradient: Gradient<'_>,
        targets: &[Target],
        kernel: impl Fn(&cpu::Batch<'_, S, T>, &mut [f64], Option<&mut [MaybeUninit<S>]>) -> KernelResult,
    ) -> Solved {
        let (classes, terms) = (self.classes(), &self.terms);
        let guards: Vec<_> = self.teachers.iter().map(Tensor::storage_and_layout).collect();
        let memory = guards.iter().map(|(storage, layout)| on_cpu(storage, layout));
        let teachers = memory.collect::<candle_core::Result<Vec<&[T]>>>()?;
        // New memory comes zeroed by the system just before, and by that into the caches.
        let streams = matches!(gradient, Gradient::Into(_)) && self.student.elem_count() * size_of::<S>() >= STREAMED;
        self.run(gradient, |student, losses, grad| {
            let teachers = teachers.clone();
            kernel(&cpu::Batch { student, teachers, classes, targets, terms, streams }, losses, grad)
        })
    }

    /// Runs a kernel on the student's memory.
    fn run<S: Number + WithDType>(
        &self,
        gradient: Gradient<'_>,
        kernel: impl Fn(&[S], &mut [f64], Option<&mut [MaybeUninit<S>]>) -> KernelResult,
    ) -> Solved {
        let mut losses = vec![0.0; self.batch()];
        let solved = {
            let (storage, layout) = self.student.storage_and_layout();
            let student = on_cpu(&storage, layout)?;
            match gradient {
                Gradient::Skip => kernel(student, &mut losses, None).map(|()| None),
                // SAFETY: a kernel writes numbers only.
                Gradient::Into(grad) => unsafe {
                    overwritten(grad, |memory| kernel(student, &mut losses, Some(memory)))?.map(|()| Some(grad.clone()))
                },
                Gradient::OfTheSum | Gradient::Times(_) => {
                    // SAFETY: a kernel that returns `Ok` has written the whole gradient.
                    unsafe { filled(&self.student, |memory| kernel(student, &mut losses, Some(memory))) }?.map(Some)
                }
            }
        };
        let grad = solved.map_err(|cpu::NotFiniteRow(row)| self.what_is_wrong_with(row))?;
        Ok((losses, grad))
    }

    /// What each row is to learn. Refuses labels that are no classes, and weights that are none.
    fn targets(&self, gradient: Gradient<'_>) -> Result<Vec<Target>> {
        let batch = self.batch();
        let mut targets = vec![Target { label: None, weight: 1.0, upstream: 1.0 }; batch];
        if let Some(weights) = &self.weights {
            for (target, weight) in targets.iter_mut().zip(checked_weights(weights)?) {
                target.weight = weight;
            }
        }
        if let Some(labels) = &self.labels {
            let (storage, layout) = labels.storage_and_layout();
            match labels.dtype() {
                DType::U8 => self.read_labels(&mut targets, on_cpu::<u8>(&storage, layout)?)?,
                DType::U32 => self.read_labels(&mut targets, on_cpu::<u32>(&storage, layout)?)?,
                _ => self.read_labels(&mut targets, on_cpu::<i64>(&storage, layout)?)?,
            }
        }
        if matches!(self.reduction, Reduction::BatchMean | Reduction::Mean) {
            let total: f64 = targets.iter().map(|target| target.weight).sum();
            for target in &mut targets {
                // Where the total is 0 so is each weight.
                target.weight /= if total > 0.0 { total } else { 1.0 };
            }
        }
        if let Gradient::Times(upstream) = gradient {
            for (row, target) in targets.iter_mut().enumerate() {
                target.upstream = upstream[row % upstream.len()];
            }
        }
        Ok(targets)
    }

    fn read_labels<L: Copy + Into<Label>>(&self, targets: &mut [Target], labels: &[L]) -> Result<()> {
        let classes = self.classes();
        for (row, (target, label)) in targets.iter_mut().zip(labels).enumerate() {
            let Label(label) = (*label).into();
            if Some(label) == self.ignore_index {
                target.weight = 0.0;
            } else if self.terms.needs_ce() {
                match usize::try_from(label) {
                    Ok(label) if label < classes => target.label = Some(label),
                    _ => {
                        return Err(Error::Label { row, label, classes });
                    }
                }
            }
        }
        Ok(())
    }

    /// The error for a row that the kernel refused.
    fn what_is_wrong_with(&self, row: usize) -> Error {
        let teachers = self.teachers.iter().map(|teacher| (Input::TeacherLogits, teacher));
        for (input, logits) in std::iter::once((Input::StudentLogits, &self.student)).chain(teachers) {
            match logits.get(row).and_then(|row| row.to_dtype(DType::F64)?.to_vec1::<f64>()) {
                Ok(values) => {
                    if let Some(column) = values.iter().position(|value| !value.is_finite()) {
                        return Error::NotFinite { input, row, column, value: values[column] };
                    }
                }
                Err(error) => return error.into(),
            }
        }
        match self.top_k.as_ref().map(|rows| rows.check(row, self.classes())) {
            Some(Err(error)) => error,
            _ => unreachable!("the kernel refuses only rows with something wrong in them"),
        }
    }

    /// Names the student's logit that has spoilt a loss made of candle operations.
    fn check_student_behind(&self, loss: &Tensor) -> Result<()> {
        if numbers(loss)?.iter().all(|loss| loss.is_finite()) {
            return Ok(());
        }
        let (classes, logits) = (self.classes(), numbers(&self.student)?);
        match logits.iter().position(|logit| !logit.is_finite()) {
            Some(at) => {
                let (input, row, column) = (Input::StudentLogits, at / classes, at % classes);
                Err(Error::NotFinite { input, row, column, value: logits[at] })
            }
            None => Ok(()), // finite logits whose loss is beyond the range of its type
        }
    }
}

/// A label of any of the types it may have.
struct Label(i64);

impl From<u8> for Label {
    fn from(label: u8) -> Label {
        Label(label.into())
    }
}

impl From<u32> for Label {
    fn from(label: u32) -> Label {
        Label(label.into())
    }
}

impl From<i64> for Label {
    fn from(label: i64) -> Label {
        Label(label)
    }
}

fn check_logits(input: Input, logits: &Tensor) -> Result<()> {
    match logits.dtype() {
        DType::F32 | DType::F16 | DType::BF16 | DType::F64 => Ok(()),
        found => Err(Error::DType { input, expected: "f32, f16, bf16 or f64", found }),
    }
}

pub(super) fn check_device(input: Input, tensor: &Tensor, student: &Tensor) -> Result<()> {
    if tensor.device().same_device(student.device()) {
        return Ok(());
    }
    let name = |tensor: &Tensor| format!("{:?}", tensor.device().location());
    Err(Error::Device { input, expected: name(student), found: name(tensor) })
}

/// Whether the gradient can be written into `grad`.
fn check_room(grad: &Tensor, student: &Tensor, teachers: &[(&Tensor, f64)]) -> Result<()> {
    let input = Input::Gradient;
    if grad.dims() != student.dims() {
        let expected = format!("{:?}, as the student's logits", student.dims());
        return Err(Error::Shape { input, expected, found: grad.shape().clone() });
    }
    if grad.dtype() != student.dtype() {
        return Err(Error::DType { input, expected: student.dtype().as_str(), found: grad.dtype() });
    }
    check_device(input, grad, student)?;
    if !grad.is_contiguous() {
        return Err(Error::NotContiguous);
    }
    // The address of what candle's tensors of one memory share.
    let memory = |tensor: &Tensor| std::ptr::from_ref(&*tensor.storage_and_layout().0);
    let teachers = teachers.iter().map(|(teacher, _)| (Input::TeacherLogits, *teacher));
    for (input, logits) in std::iter::once((Input::StudentLogits, student)).chain(teachers) {
        if memory(grad) == memory(logits) {
            return Err(Error::SharedMemory { input });
        }
    }
    Ok(())
}

/// The type to bring the teachers to, where they cannot stay as they are: the kernels take one type for all of them,
/// f64 with an f64 student and only then.
fn common_dtype(student: &Tensor, teachers: &[Tensor]) -> Option<DType> {
    let first = teachers.first()?.dtype();
    match student.dtype() {
        DType::F64 => Some(DType::F64),
        _ if first == DType::F64 || teachers.iter().any(|teacher| teacher.dtype() != first) => Some(DType::F32),
        _ => None,
    }
}

/// The numbers of a tensor on any device. Widened on the CPU: not every device has f64.
fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn checked_weights(weights: &Tensor) -> Result<Vec<f64>> {
    let weights = numbers(weights)?;
    for (row, &value) in weights.iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::NotFinite { input: Input::Weights, row, column: 0, value });
        } else if value < 0.0 {
            return Err(Error::Weight { row, value });
        }
    }
    Ok(weights)
}

/// Whether a GPU's loss is finite, or each of its losses. Waits for it.
#[cfg(any(feature = "cuda", feature = "metal"))]
fn is_finite(loss: &Storage) -> Result<bool> {
    let loss = match loss {
        Storage::Cpu(loss) => loss.to_cpu_storage(),
        Storage::Cuda(loss) => loss.to_cpu_storage(),
        Storage::Metal(loss) => loss.to_cpu_storage(),
    }?;
    Ok(loss.as_slice::<f32>()?.iter().all(|loss| loss.is_finite()))
}

/// The numbers of a contiguous tensor on the CPU.
fn on_cpu<'a, N: WithDType>(storage: &'a Storage, layout: &Layout) -> candle_core::Result<&'a [N]> {
    let Storage::Cpu(storage) = storage else { candle_core::bail!("a tensor has left the CPU") };
    let numbers = storage.as_slice::<N>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&numbers[start..end]),
        None => candle_core::bail!("a tensor is not contiguous"),
    }
}

/// A node of candle's graph whose value and gradient are known when it is made.
struct FusedKdLoss {
    problem: Problem,
    /// Given up to candle at once.
    loss: Mutex<Option<(Storage, Shape)>>,
    /// Given up in the first backward pass.
    grad: Mutex<Option<Tensor>>,
}

impl CustomOp1 for FusedKdLoss {
    fn name(&self) -> &'static str {
        "kd-loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        match take(&self.loss) {
            Some((Storage::Cpu(loss), shape)) => Ok((loss, shape)),
            _ => candle_core::bail!("kd-loss was computed on another device"),
        }
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        match take(&self.loss) {
            Some((Storage::Cuda(loss), shape)) => Ok((loss, shape)),
            _ => candle_core::bail!("kd-loss was computed on another device"),
        }
    }

    #[cfg(feature = "metal")]
    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> candle_core::Result<(MetalStorage, Shape)> {
        match take(&self.loss) {
            Some((Storage::Metal(loss), shape)) => Ok((loss, shape)),
            _ => candle_core::bail!("kd-loss was computed on another device"),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad_loss: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(self.problem.solve_backward(take(&self.grad), grad_loss)?)
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

#[cfg(not(all(feature = "cuda", feature = "metal")))]
fn no_kernel(device: &Device) -> Error {
    Error::NoKernel { device: format!("{:?}", device.location()) }
}
